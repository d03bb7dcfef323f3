//! The RSTs that answers call for.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::iter;
use std::net::SocketAddr;

use super::{BATCH, Driver, EventLoop, PAUSE, PacketEvent};
use crate::local_error::LocalError;
use crate::wire::Segment;

/// The most targets to which RSTs are kept when there is no room. A server that gets no RST repeats
/// its SYN+ACK.
const UNSENT: usize = 65_536;

/// The most targets if a SYN is to follow the RST: it would leave without the RST.
const UNSENT_BEFORE_SYNS: usize = 1 << 20;

/// How many RSTs are sent again at a time.
const RESENT: usize = 4 * BATCH;

/// RSTs that found no room: the newest one from each of our ports to each target. No SYN leaves for
/// a target while there is one.
///
/// Invariant: each key of `by_target` is in `order` once, and nothing else is.
#[derive(Default)]
pub(super) struct UnsentRsts {
    by_target: HashMap<SocketAddr, Vec<Segment>>,
    order: VecDeque<SocketAddr>,
}

impl UnsentRsts {
    pub(super) fn contains(&self, target: SocketAddr) -> bool {
        !self.by_target.is_empty() && self.by_target.contains_key(&target)
    }

    /// Adds `rst`, unless RSTs to `most` other targets wait.
    fn insert(&mut self, rst: Segment, most: usize) {
        let is_full = self.by_target.len() >= most;
        let rsts = match self.by_target.entry(rst.destination) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if is_full => return,
            Entry::Vacant(entry) => {
                self.order.push_back(rst.destination);
                entry.insert(Vec::new())
            }
        };
        rsts.retain(|other| other.source != rst.source);
        rsts.push(rst);
    }

    /// Removes the ones that have waited longest: about `count`, because RSTs to one target stay
    /// together.
    fn take(&mut self, count: usize) -> Vec<Segment> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(target) = self.order.pop_front()
        {
            taken.extend(self.by_target.remove(&target).unwrap_or_default());
        }
        taken
    }
}

impl<D: Driver> EventLoop<'_, D> {
    /// Returns true if RSTs have yet to leave.
    pub(super) fn has_pending_rsts(&self) -> bool {
        !self.unsent.by_target.is_empty() || self.engine.has_pending_rsts()
    }

    /// Sends the RSTs that answers have called for, and some of those that found no room before.
    pub(super) fn send_rsts(&mut self) {
        let clearing: Vec<_> = iter::from_fn(|| self.checker.poll_clearing_rst()).collect();
        self.send_before_syns(&clearing);
        let mut rsts: Vec<_> = iter::from_fn(|| self.checker.poll_rst()).collect();
        if let Some(explainer) = &mut self.explainer {
            rsts.extend(iter::from_fn(|| explainer.poll_rst()));
        }
        let results = self.engine.send_rsts(&rsts);
        self.record(&rsts, results, UNSENT);
        for rst in self.engine.take_unsent_rsts() {
            self.unsent.insert(rst, UNSENT);
        }
        let now = self.engine.now();
        if now >= self.resend_at && self.has_pending_rsts() {
            let rsts = self.unsent.take(RESENT);
            self.send_before_syns(&rsts);
            self.resend_at = now + PAUSE;
        }
    }

    /// Sends RSTs. Each leaves before the next SYN to its target.
    fn send_before_syns(&mut self, rsts: &[Segment]) {
        let results = self.engine.send_clearing_rsts(rsts);
        self.record(rsts, results, UNSENT_BEFORE_SYNS);
    }

    fn record(&mut self, rsts: &[Segment], results: Vec<Result<(), LocalError>>, most: usize) {
        for (rst, result) in rsts.iter().zip(results) {
            match result {
                Ok(()) => self.driver.on_packet(self.engine.now(), &PacketEvent::Sent(*rst)),
                Err(error) if error.is_shortage() => self.unsent.insert(*rst, most),
                Err(_) => {} // the server repeats its SYN+ACK
            }
        }
    }
}

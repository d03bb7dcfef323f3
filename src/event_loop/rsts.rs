//! The RSTs that answers call for.

use std::iter;

use super::{BATCH, Driver, EventLoop, PAUSE, PacketEvent};
use crate::local_error::LocalError;
use crate::wire::Segment;

/// The most RSTs that are kept when there is no room. A server that gets none repeats its SYN+ACK.
const UNSENT: usize = 65_536;

/// How many of them are sent at a time.
const RESENT: usize = 4 * BATCH;

impl<D: Driver> EventLoop<'_, D> {
    /// Returns true if RSTs have yet to leave.
    pub(super) fn has_pending_rsts(&self) -> bool {
        !self.unsent.is_empty() || self.engine.has_pending_rsts()
    }

    /// Sends the RSTs that answers have called for, and some of those that found no room before.
    pub(super) fn send_rsts(&mut self) {
        let clearing: Vec<_> = iter::from_fn(|| self.checker.poll_clearing_rst()).collect();
        let results = self.engine.send_clearing_rsts(&clearing);
        self.record(&clearing, results);
        let mut rsts: Vec<_> = iter::from_fn(|| self.checker.poll_rst()).collect();
        if let Some(explainer) = &mut self.explainer {
            rsts.extend(iter::from_fn(|| explainer.poll_rst()));
        }
        self.hand_over(&rsts);
        self.unsent.extend(self.engine.take_unsent_rsts());
        let now = self.engine.now();
        if now >= self.resend_at && self.has_pending_rsts() {
            let rsts: Vec<_> = self.unsent.drain(..RESENT.min(self.unsent.len())).collect();
            self.hand_over(&rsts);
            self.resend_at = now + PAUSE;
        }
    }

    fn hand_over(&mut self, rsts: &[Segment]) {
        let results = self.engine.send_rsts(rsts);
        self.record(rsts, results);
    }

    fn record(&mut self, rsts: &[Segment], results: Vec<Result<(), LocalError>>) {
        for (rst, result) in rsts.iter().zip(results) {
            match result {
                Ok(()) => self.driver.on_packet(self.engine.now(), &PacketEvent::Sent(*rst)),
                Err(error) if error.is_shortage() => self.unsent.push_back(*rst),
                Err(_) => {} // the server repeats its SYN+ACK
            }
        }
        self.unsent.truncate(UNSENT);
    }
}

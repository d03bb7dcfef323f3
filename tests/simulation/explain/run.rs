//! A run of checks that are explained.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::checker::{Checker, Ended};
use halfopen::engine::simulated::Network;
use halfopen::engine::{Engine, Interrupt};
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::explain::{Explainer, Explanation};
use halfopen::pacer::Pacer;
use halfopen::probe::Secret;
use halfopen::schedule::Schedule;
use halfopen::verdict::{Outcome, PortState, Verdict};
use halfopen::wire::{Flags, Segment};

use crate::network::{Conditions, Restful, SYN_ACK, millis};

/// The deadline of a run.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// Which targets are explained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// None: there is no explainer.
    #[default]
    Nothing,
    NotOpen,
    All,
}

/// What became of the targets.
#[derive(Default)]
pub(crate) struct Explained {
    pub(crate) ended: HashMap<SocketAddr, (Duration, Outcome)>,
    pub(crate) explanations: HashMap<SocketAddr, Explanation>,
    pub(crate) packets: Vec<(Duration, PacketEvent)>,
    remotes: Vec<SocketAddr>,
    begun: usize,
    now: Duration,
    wanted: Wanted,
    /// When which target is cancelled.
    cancels: Option<(Duration, SocketAddr)>,
}

impl Explained {
    /// The SYN+ACKs that came without an RST that answers them.
    pub(crate) fn without_rst(&self) -> Vec<Segment> {
        let rsts: Vec<_> = self
            .packets
            .iter()
            .filter_map(|(_, packet)| match packet {
                PacketEvent::Sent(segment) if segment.flags == Flags::RST => Some(*segment),
                _ => None,
            })
            .collect();
        let syn_acks: Vec<_> = self
            .packets
            .iter()
            .filter_map(|(_, packet)| match packet {
                PacketEvent::Received(Event::Segment { segment, .. }, _) => Some(*segment),
                _ => None,
            })
            .filter(|segment| segment.flags == SYN_ACK)
            .collect();
        let answers = |rst: &Segment, syn_ack: &Segment| {
            (rst.source, rst.destination) == (syn_ack.destination, syn_ack.source)
                && rst.sequence == syn_ack.acknowledgement
        };
        syn_acks
            .iter()
            .filter(|syn_ack| {
                let of_it = rsts.iter().filter(|rst| answers(rst, syn_ack)).count();
                let alike = syn_acks.iter().filter(|other| other == syn_ack).count();
                of_it != alike
            })
            .copied()
            .collect()
    }
}

/// Checks `remotes`, and explains those that are wanted.
pub(crate) fn explain(
    remotes: &[SocketAddr],
    network: impl Network,
    wanted: Wanted,
    cancels: Option<(Duration, SocketAddr)>,
) -> Explained {
    let attempts = attempts();
    let schedule = Schedule::fit(attempts, TIMEOUT);
    let secret = Secret::new([7; 16]);
    let mut checker = Checker::new(secret.clone(), attempts);
    let mut explainer =
        (wanted != Wanted::Nothing).then(|| Explainer::new(secret, attempts, TIMEOUT));
    let mut engine = Restful::new(&Conditions::of(schedule), network);
    let remotes = remotes.to_vec();
    let mut driver = Explained { remotes, wanted, cancels, ..Explained::default() };
    let mut pacer = Pacer::new(0, usize::MAX);
    let deadline = Some(TIMEOUT + millis(25));
    run(&mut checker, &mut engine, &mut pacer, &mut driver, explainer.as_mut(), deadline)
        .expect("nothing fails here");
    assert!(engine.now() <= TIMEOUT, "ends at {:?}: {:#?}", engine.now(), driver.packets);
    driver
}

fn attempts() -> Attempts {
    Attempts::with_retries(2).expect("few")
}

impl Driver for Explained {
    fn next(&mut self, _now: Duration) -> Next {
        let Some(remote) = self.remotes.get(self.begun) else { return Next::Nothing };
        self.begun += 1;
        Next::Target(0, *remote)
    }

    fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
        Schedule::fit(attempts(), TIMEOUT)
    }

    fn ended(&mut self, ended: Ended) {
        let before = self.ended.insert(ended.remote, (self.now, ended.outcome));
        assert!(before.is_none(), "{} ends twice", ended.remote);
    }

    fn wants_explanation(&self, outcome: &Outcome) -> bool {
        let is_open = |verdict: &Verdict| verdict.state() == PortState::Open;
        self.wanted == Wanted::All || !outcome.as_ref().is_ok_and(is_open)
    }

    fn explained(&mut self, remote: SocketAddr, explanation: Explanation) {
        assert!(!self.ended.contains_key(&remote), "explained before it ends");
        let before = self.explanations.insert(remote, explanation);
        assert!(before.is_none(), "{remote} is explained twice");
    }

    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.cancels.take_if(|(at, _)| *at <= self.now).map(|(_, remote)| remote)
    }

    fn flush(&mut self) {}

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        self.now = self.now.max(at);
        self.packets.push((at, *packet));
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        self.now = now;
        ControlFlow::Continue(())
    }
}

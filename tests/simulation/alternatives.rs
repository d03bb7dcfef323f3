//! Names with several addresses: which of them decides, and how the others end.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::alternatives::{Alternative, Alternatives, Ending};
use halfopen::checker::{Checker, Ended};
use halfopen::engine::{Interrupt, SimulatedEngine};
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::local_error::{LocalError, NoRoute};
use halfopen::pacer::Pacer;
use halfopen::probe::Secret;
use halfopen::schedule::Schedule;
use halfopen::status::{Expected, Policy, Status};
use halfopen::verdict::{EndOfRun, NoVerdict, Outcome, PortState, Reason, Verdict};
use halfopen::wire::{Flags, Segment};

use crate::network::{millis, on_syn, remotes, schedule_of, secs, syn_ack};

const OPEN: Policy = policy(Expected::Open { refused: Status::Critical });
const CLOSED: Policy = policy(Expected::State(PortState::Closed));
const FILTERED: Policy = policy(Expected::State(PortState::Filtered));

const fn policy(expected: Expected) -> Policy {
    Policy { expected, warning: None, critical: None }
}

/// The first target answers after 10 ms, the second after 1.5 s, when it is no longer wanted; the
/// third is silent.
#[test]
fn a_cancelled_target_is_not_probed_again_and_its_late_answer_gets_an_rst() {
    let remotes = remotes(3);
    let answers_after = |remote: SocketAddr| match remotes.iter().position(|r| *r == remote) {
        Some(0) => Some(millis(10)),
        Some(1) => Some(millis(1500)),
        _ => None,
    };
    let mut engine = SimulatedEngine::new(on_syn(|_, syn| {
        let delay = answers_after(syn.destination);
        delay.map(|delay| (delay, syn_ack(syn))).into_iter().collect()
    }));
    let schedule = schedule_of(2, secs(10));
    let mut checker = Checker::new(Secret::new([7; 16]), schedule.attempts());
    let mut driver = FirstAlone { schedule, remotes: remotes.clone(), ..FirstAlone::default() };
    let ran =
        run(&mut checker, &mut engine, &mut Pacer::new(0, 64), &mut driver, None, Some(secs(10)));

    assert_eq!(ran, Ok(()));
    let ended: Vec<_> = driver.ended.iter().map(|ended| ended.remote).collect();
    assert_eq!(ended, [remotes[0], remotes[2]]);
    let to = |remote, flags| {
        let sent = driver.sent.iter();
        sent.filter(|segment| (segment.destination, segment.flags) == (remote, flags)).count()
    };
    assert_eq!((to(remotes[1], Flags::SYN), to(remotes[1], Flags::RST)), (1, 1));
    assert_eq!((to(remotes[2], Flags::SYN), to(remotes[2], Flags::RST)), (3, 0));
}

/// The second target takes the place of the first, which was about to be probed.
#[test]
fn a_target_in_the_place_of_a_cancelled_one_is_probed_once_at_a_time() {
    let remotes = remotes(2);
    let attempts = schedule_of(2, secs(10)).attempts();
    let mut checker = Checker::new(Secret::new([7; 16]), attempts);
    let schedule = Schedule::fit(attempts, secs(10));
    assert!(checker.admit(0, remotes[0], schedule, secs(0)));
    checker.cancel(remotes[0]);
    assert!(checker.admit(1, remotes[1], schedule, secs(0)));

    assert_eq!(checker.poll_attempt().map(|due| due.attempt.remote), Some(remotes[1]));
    assert_eq!(checker.poll_attempt(), None);
}

/// A driver that no longer wants the second target when the first has ended.
struct FirstAlone {
    schedule: Schedule,
    remotes: Vec<SocketAddr>,
    begun: usize,
    ended: Vec<Ended>,
    unwanted: Option<SocketAddr>,
    sent: Vec<Segment>,
}

impl Default for FirstAlone {
    fn default() -> Self {
        Self {
            schedule: schedule_of(2, secs(10)),
            remotes: Vec::new(),
            begun: 0,
            ended: Vec::new(),
            unwanted: None,
            sent: Vec::new(),
        }
    }
}

impl Driver for FirstAlone {
    fn next(&mut self, _now: Duration) -> Next {
        let Some(remote) = self.remotes.get(self.begun) else { return Next::Nothing };
        self.begun += 1;
        Next::Target(0, *remote)
    }

    fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
        self.schedule
    }

    fn ended(&mut self, ended: Ended) {
        if ended.remote == self.remotes[0] {
            self.unwanted = Some(self.remotes[1]);
        }
        self.ended.push(ended);
    }

    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.unwanted.take()
    }

    fn flush(&mut self) {}

    fn on_packet(&mut self, _at: Duration, packet: &PacketEvent) {
        if let PacketEvent::Sent(segment) = packet {
            self.sent.push(*segment);
        }
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, _now: Duration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn the_first_open_address_decides_at_once() {
    let mut names = pair();
    let ending = names.ended(0, address(1), verdict(Reason::SynAck), &CLOSED).expect("decided");
    assert_eq!((ending.endpoint, ending.outcome), (address(1), verdict(Reason::SynAck)));
    assert_eq!(ending.others, [Alternative::new(address(0))]);
    assert_eq!(names.ended(0, address(0), verdict(Reason::RstAck), &CLOSED), None);
}

/// Whichever ends first.
#[test]
fn without_an_open_address_the_one_of_highest_precedence_decides() {
    let silence = || verdict(Reason::NoAnswer { syns: 3, waited: secs(7) });
    let no_route = || verdict(Reason::NoRoute(NoRoute::Network));
    let error = || Err(LocalError::Firewall(address(0)).into());
    for (policy, more, less) in [
        (&OPEN, verdict(Reason::RstAck), verdict(Reason::BareAck)),
        (&OPEN, verdict(Reason::BareAck), silence()),
        (&OPEN, silence(), no_route()),
        (&OPEN, error(), verdict(Reason::RstAck)),
        (&OPEN, error(), no_route()),
        (&CLOSED, silence(), verdict(Reason::RstAck)),
        (&CLOSED, silence(), error()),
        (&CLOSED, error(), verdict(Reason::RstAck)),
        (&CLOSED, verdict(Reason::RstAck), no_route()),
        (&FILTERED, verdict(Reason::RstAck), silence()),
        (&FILTERED, silence(), no_route()),
    ] {
        for (first, second) in [(&more, &less), (&less, &more)] {
            let mut names = pair();
            assert_eq!(names.ended(0, address(1), first.clone(), policy), None);
            let Ending { outcome, others, .. } =
                names.ended(0, address(0), second.clone(), policy).expect("decided");
            assert_eq!((&outcome, &others[0].outcome), (&more, &Some(less.clone())));
        }
    }
}

#[test]
fn an_address_without_a_route_is_waited_for_only_beside_one_that_is_pending() {
    let mut names = pair();
    let unrouted = |names: &mut Alternatives, number| {
        names.without_route(0, address(number), NoRoute::Network, &OPEN)
    };
    assert_eq!(unrouted(&mut names, 0), None);
    assert_eq!(unrouted(&mut names, 1), None, "routes may come back");
    let ending = names.ended(0, address(1), verdict(Reason::RstAck), &OPEN).expect("decided");
    assert_eq!((ending.endpoint, ending.others[0].ended), (address(1), false));

    let mut names = pair();
    assert_eq!(unrouted(&mut names, 0), None);
    names.sent(0, address(0));
    assert_eq!(names.ended(0, address(1), verdict(Reason::RstAck), &OPEN), None, "it has a route");
    assert!(names.ended(0, address(0), verdict(Reason::SynAck), &OPEN).is_some());

    let mut names = pair();
    assert_eq!(names.ended(0, address(1), verdict(Reason::RstAck), &OPEN), None);
    assert!(unrouted(&mut names, 0).is_some(), "the other has ended before");
}

#[test]
fn an_address_that_was_not_probed_leaves_a_name_unknown_but_probed() {
    let unasked = NoVerdict::NotProbed(EndOfRun::OutOfTime);
    let mut names = pair();
    assert_eq!(names.ended(0, address(1), verdict(Reason::RstAck), &OPEN), None);
    let (id, ending) = names.give_up(&unasked, &OPEN).expect("one is left");
    assert_eq!((id, ending.outcome), (0, Err(NoVerdict::Unfinished(EndOfRun::OutOfTime))));
    assert_eq!(names.give_up(&unasked, &OPEN), None);

    let (_, ending) = pair().give_up(&unasked, &OPEN).expect("one is left");
    assert_eq!(ending.outcome, Err(unasked));
}

/// A name with two addresses.
fn pair() -> Alternatives {
    let mut names = Alternatives::default();
    names.begin(0, 25, [0, 1].map(|number| Alternative::new(address(number))).to_vec());
    names
}

fn address(number: usize) -> SocketAddr {
    remotes(2)[number]
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn verdict(reason: Reason) -> Outcome {
    Ok(Verdict::without_probe(reason))
}

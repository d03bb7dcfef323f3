//! A machine that has no room for a SYN: for the moment, for one target, or for any.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::{FIRST_PORT, Network};
use halfopen::event::Event;
use halfopen::local_error::LocalError;
use halfopen::verdict::{EndOfRun, NoVerdict, PortState, Verdict};
use halfopen::wire::{Flags, Segment};
use nix::errno::Errno;

use crate::network::rounds::Rounds;
use crate::network::{
    Conditions, NOBODY, Run, SERVER, challenge_ack, check, check_under, millis, remotes,
    schedule_of, secs, syn_ack,
};

/// Every target answers after a millisecond. The kernel refuses segments by a rule that may count
/// them.
pub(crate) struct Short<F>(pub(crate) F);

impl<F: FnMut(&Segment) -> bool> Network for Short<F> {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        match segment.flags {
            Flags::SYN => vec![(millis(1), syn_ack(segment))],
            _ => vec![],
        }
    }

    fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
        if (self.0)(segment) { Err(no_room(segment.destination)) } else { Ok(()) }
    }
}

/// A network that carries nothing.
struct Silent<N>(N);

impl<N: Network> Network for Silent<N> {
    fn carry(&mut self, _now: Duration, _segment: &Segment) -> Vec<(Duration, Event)> {
        vec![]
    }

    fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
        self.0.admit(segment)
    }
}

pub(crate) fn no_room(to: SocketAddr) -> LocalError {
    LocalError::Send { to, errno: Errno::ENOBUFS }
}

#[test]
fn a_syn_without_room_leaves_a_few_milliseconds_later() {
    let mut refused = 0;
    let run = check(Short(|_: &Segment| {
        refused += 1;
        refused == 1
    }));
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Open, 1));
    assert_eq!(run.verdict().round_trip(), Some(millis(1)));
    assert_eq!(run.syn_times(), [5]);
    assert_eq!(run.end, millis(6));
}

#[test]
fn a_syn_without_room_is_tried_less_and_less_often() {
    let mut refused = 0;
    let run = check(Short(|_: &Segment| {
        refused += 1;
        refused <= 9
    }));
    assert_eq!(run.syn_times(), [5 + 10 + 20 + 40 + 80 + 160 + 320 + 640 + 640]);
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Open, 1));
}

/// It counts as no attempt, and the time until it leaves as no silence.
#[test]
fn the_last_syn_is_waited_for_however_late_it_leaves() {
    struct Late(Duration);
    impl Network for Late {
        fn carry(&mut self, now: Duration, _: &Segment) -> Vec<(Duration, Event)> {
            self.0 = now;
            vec![]
        }

        fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
            self.0 += millis(1);
            let third = segment.source.port() > FIRST_PORT; // from the second port
            let late = third && self.0 < secs(1) + millis(12);
            if late { Err(no_room(segment.destination)) } else { Ok(()) }
        }
    }
    let run = check(Late(Duration::ZERO));
    let [.., last] = run.syn_times()[..] else { panic!("three SYNs") };
    assert_eq!(last, 3000 + (1 << 8) * 5 - 5 + 640 * 3);
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Filtered, 3));
    assert!(run.end >= millis(u64::try_from(last).unwrap()) + secs(3), "{:?}", run.end);
}

/// The timeouts after it make up for it, and a port that is silent until the deadline is filtered.
#[test]
fn a_syn_that_leaves_late_does_not_delay_the_end() {
    for late in 0..2 {
        let mut refused = 0;
        let mut left = 0;
        let schedule = schedule_of(2, secs(7));
        let conditions = Conditions { deadline: secs(7), ..Conditions::of(schedule) };
        let network = Short(|_: &Segment| {
            let refuse = left == late && refused < 7;
            refused += usize::from(refuse);
            left += usize::from(!refuse);
            refuse
        });
        let run = check_under(conditions, &[NOBODY], Silent(network));
        let postponed = 5 * ((1 << 7) - 1);
        assert_eq!(run.syn_times()[late], 1000 * u128::from(late > 0) + postponed, "{late}");
        assert_eq!((run.syn_times()[2], run.end), ([3000, 3135][late], secs(7)));
        assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Filtered, 3));
    }
}

/// The only SYN is sent again because its answer was lost on this machine; there is no room for
/// that at first, and an ACK of an old connection comes meanwhile.
#[test]
fn a_repeated_syn_without_room_counts_as_sent_before() {
    struct Lossy(usize);
    impl Network for Lossy {
        fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
            match (segment.flags, self.0) {
                (Flags::SYN, 1) => {
                    vec![
                        (millis(1), Event::SegmentsLost(1)),
                        (millis(1002), challenge_ack(segment)),
                    ]
                }
                (Flags::SYN, _) => vec![(millis(1), syn_ack(segment))],
                _ => vec![],
            }
        }

        fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
            let is_syn = segment.flags == Flags::SYN;
            self.0 += usize::from(is_syn);
            if is_syn && self.0 == 2 { Err(no_room(segment.destination)) } else { Ok(()) }
        }
    }
    let until = |deadline| {
        let conditions = Conditions { deadline, ..Conditions::of(schedule_of(0, secs(1))) };
        check_under(conditions, &remotes(1), Lossy(0))
    };
    let run = until(secs(5));
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Open, 2));
    assert_eq!(run.syn_times(), [0, 1005]);
    assert_eq!(until(millis(1003)).outcome_of(0), &Err(NoVerdict::Unfinished(EndOfRun::OutOfTime)));
}

#[test]
fn targets_without_room_delay_no_other() {
    for (rate, last) in [(0, millis(0)), (10_000, millis(21))] {
        let unlucky =
            |remote: SocketAddr| [3, 7].map(|index| remotes(200)[index]).contains(&remote);
        let run = under(rate, 200, Short(|segment: &Segment| unlucky(segment.destination)));
        for (index, remote) in remotes(200).into_iter().enumerate() {
            match run.outcome_of(index) {
                Ok(verdict) => assert_eq!(verdict.state(), PortState::Open),
                Err(error) => {
                    assert!(unlucky(remote), "{remote}");
                    assert_eq!(error, &no_room(remote).into());
                }
            }
        }
        let syns = run.syns();
        assert_eq!(syns.len(), 198);
        assert!(syns.iter().all(|(at, _)| *at <= last), "{:?}", syns.last());
    }
}

/// The loop neither asks the kernel all the time, nor forgets a target when there is room again.
#[test]
fn a_machine_without_any_room_is_asked_now_and_then() {
    let mut asked = 0;
    let run = under(
        0,
        1000,
        Short(|_: &Segment| {
            asked += 1;
            true
        }),
    );
    assert!(run.outcomes.iter().all(|(_, outcome)| outcome.is_err()));
    assert!(asked <= 5 * 64 * 200, "{asked} times in five seconds");

    let mut asked = 0;
    let run = under(
        0,
        1000,
        Short(|_: &Segment| {
            asked += 1;
            asked <= 3000
        }),
    );
    let open = |(_, outcome): &&(_, Result<Verdict, _>)| outcome.is_ok();
    assert_eq!(run.outcomes.iter().filter(open).count(), 1000);
    assert!(run.syns().iter().all(|(at, _)| *at < secs(1)), "{:?}", run.syns().last());
}

/// Nothing else would end the check.
#[test]
fn without_a_deadline_a_syn_that_never_finds_room_is_given_up() {
    let log = Rounds::of(&[SERVER], 2).over_network(Short(|_: &Segment| true));
    let outcomes: Vec<_> = log.outcomes().map(|(_, outcome)| outcome.clone()).collect();
    assert_eq!(outcomes, [Err(no_room(SERVER).into()), Err(no_room(SERVER).into())]);
}

/// The answer to the only SYN was lost on this machine, so silence proves nothing.
#[test]
fn without_a_deadline_a_repeated_syn_that_never_finds_room_is_given_up() {
    struct Lossy(usize);
    impl Network for Lossy {
        fn carry(&mut self, _now: Duration, _segment: &Segment) -> Vec<(Duration, Event)> {
            vec![(millis(1), Event::SegmentsLost(1))]
        }

        fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
            self.0 += 1;
            if self.0 > 1 { Err(no_room(segment.destination)) } else { Ok(()) }
        }
    }
    let rounds = Rounds { schedule: schedule_of(0, secs(1)), ..Rounds::of(&[SERVER], 1) };
    let log = rounds.over_network(Lossy(0));
    let outcomes: Vec<_> = log.outcomes().map(|(_, outcome)| outcome.clone()).collect();
    assert_eq!(outcomes, [Err(no_room(SERVER).into())]);
}

pub(crate) fn under(rate: u32, count: usize, network: impl Network) -> Run {
    let schedule = schedule_of(2, secs(10));
    let conditions = Conditions { rate, deadline: secs(5), ..Conditions::of(schedule) };
    check_under(conditions, &remotes(count), network)
}

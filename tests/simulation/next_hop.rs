//! A next hop that does not answer ARP or neighbour discovery: the kernel gives it up some time
//! after the first SYN, and with it all SYNs that wait for it.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::local_error::LocalError;
use halfopen::verdict::{PortState, Reason, Verdict};
use halfopen::wire::{Flags, IcmpError, Origin, Segment};

use crate::network::{
    Conditions, Run, SERVER, SERVER_V6, check_under, icmp, millis, schedule_of, secs, syn_ack,
};
use crate::shortage::no_room;

/// A link with one neighbour.
#[derive(Clone, Copy)]
struct Link {
    /// How long the kernel asks for it.
    patience: Duration,
    /// When it appears.
    appears_at: Duration,
    /// When the kernel gives it up, if it is asking.
    given_up_at: Option<Duration>,
    /// How many SYNs there is room for.
    room: usize,
}

/// What Linux does by default. Its timer is a little late.
const LINK: Link = Link {
    patience: Duration::from_millis(3050),
    appears_at: Duration::MAX,
    given_up_at: None,
    room: usize::MAX,
};

impl Network for Link {
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        if segment.flags != Flags::SYN {
            return vec![];
        }
        let asking = self.given_up_at.filter(|given_up_at| *given_up_at > now);
        let until = *self.given_up_at.insert(asking.unwrap_or(now + self.patience));
        // It is asked once per second.
        let mut asked_at = until.saturating_sub(self.patience);
        while asked_at < now || asked_at < self.appears_at {
            asked_at += secs(1);
            if asked_at + millis(100) > until {
                return vec![(until.saturating_sub(now), no_neighbour(segment))];
            }
        }
        vec![(asked_at.saturating_sub(now), syn_ack(segment))]
    }

    fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
        if self.room == 0 {
            return Err(no_room(segment.destination));
        }
        self.room -= usize::from(segment.flags == Flags::SYN);
        Ok(())
    }
}

fn no_neighbour(syn: &Segment) -> Event {
    let error = if syn.destination.is_ipv4() { (3, 1) } else { (1, 3) };
    let Event::Icmp(error, quote) = icmp(error, syn.source.ip(), syn) else { unreachable!() };
    Event::Icmp(IcmpError { origin: Origin::NoNeighbour, ..error }, quote)
}

/// Checks `remote` by the schedule of this timeout and these retries.
fn check(remote: SocketAddr, timeout: Duration, retries: u8, link: Link) -> Run {
    let schedule = schedule_of(retries, timeout);
    check_under(Conditions { deadline: timeout, ..Conditions::of(schedule) }, &[remote], link)
}

fn assert_dead(verdict: &Verdict, attempts: usize) {
    assert_eq!((verdict.state(), verdict.attempts), (PortState::Unreachable, attempts));
    assert!(matches!(verdict.reason, Reason::NoNeighbour(_)), "{verdict:?}");
}

/// The last SYN, which left a moment before the kernel gave up, leaves again. The kernel asks until
/// 5.05 s.
#[test]
fn a_neighbour_that_appears_while_the_schedule_lasts_is_found() {
    for remote in [SERVER, SERVER_V6] {
        for appears_at in (0..=5000).step_by(100).map(millis) {
            let run = check(remote, secs(10), 2, Link { appears_at, ..LINK });
            assert_eq!(run.verdict().state(), PortState::Open, "{appears_at:?}");
        }
        let late = check(remote, secs(10), 2, Link { appears_at: millis(2300), ..LINK });
        assert_eq!(late.syn_times(), [0, 1000, 3000, 3050]);
        let verdict = late.verdict();
        assert_eq!((verdict.attempts, verdict.round_trip()), (4, None));
        assert_eq!(verdict.response_time, Some(millis(50)));
    }
}

#[test]
fn a_dead_neighbour_is_asked_for_twice_at_most() {
    for remote in [SERVER, SERVER_V6] {
        let run = check(remote, secs(10), 2, LINK);
        assert_dead(run.verdict(), 4);
        assert_eq!(run.syn_times(), [0, 1000, 3000, 3050]);
        assert_eq!(run.end, millis(6100));
    }
}

/// The last SYN had the kernel ask again.
#[test]
fn a_last_attempt_that_was_waited_for_on_its_own_is_not_repeated() {
    for (retries, patience, end) in [(2, 300, 3300), (2, 2000, 5000), (1, 500, 1500), (0, 900, 900)]
    {
        let run = check(SERVER, secs(10), retries, Link { patience: millis(patience), ..LINK });
        assert_dead(run.verdict(), usize::from(retries) + 1);
        assert_eq!(run.end, millis(end));
    }
}

#[test]
fn a_repeated_attempt_does_not_put_off_the_end() {
    for (timeout, retries) in [(4000, 2), (5000, 2), (6000, 2), (4000, 3), (3100, 10)] {
        let run = check(SERVER, millis(timeout), retries, LINK);
        assert_dead(run.verdict(), usize::from(retries) + 2);
        assert!(run.end <= millis(timeout) && run.end > millis(timeout - 1), "{:?}", run.end);
    }
}

#[test]
fn without_room_for_another_attempt_the_failure_decides() {
    let run = check(SERVER, secs(10), 2, Link { room: 3, ..LINK });
    assert_dead(run.verdict(), 3);
    assert_eq!(run.end, millis(3050));
}

//! How fast SYNs leave: a rate that is never exceeded to make up for a delay, and a window that
//! answers open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event_loop::PacketEvent;
use halfopen::pacer::Pacer;
use halfopen::verdict::PortState;
use halfopen::wire::Flags;
use proptest::prelude::*;

use crate::network::{
    Conditions, Run, check_under, millis, on_syn, remotes, schedule_of, secs, syn_ack,
};

/// How much of a pause may be made up for: the size of the bucket.
const SLACK: Duration = millis(20);

#[test]
fn a_steady_sender_keeps_to_the_rate() {
    for rate in [1, 10, 999, 1000, 10_000, 250_000] {
        let interval = Duration::from_secs(1) / rate;
        let mut pacer = Pacer::new(rate, usize::MAX);
        let mut now = Duration::ZERO;
        for _ in 0..1000 {
            now = pacer.ready_at(now);
            pacer.sent(now);
        }
        // The 1000th leaves 999 intervals after the first, less what the bucket holds.
        let steady = interval * 999;
        assert!(now <= steady && now + SLACK >= steady, "at {rate}/s the last leaves at {now:?}");
    }
}

/// However fast SYNs leave, the caller has to wake once per millisecond for them, and has a few at
/// once at the beginning.
#[test]
fn fast_syns_leave_in_groups() {
    for rate in [2000, 10_000, 250_000] {
        let mut pacer = Pacer::new(rate, usize::MAX);
        let mut groups = vec![(Duration::ZERO, 0)];
        for _ in 0..rate {
            let ready = pacer.ready_at(groups.last().unwrap().0);
            if ready > groups.last().unwrap().0 {
                groups.push((ready, 0));
            }
            groups.last_mut().unwrap().1 += 1;
            pacer.sent(ready);
        }
        assert!((600..=1000).contains(&groups.len()), "{} groups at {rate}/s", groups.len());
        let at_first = groups[0].1;
        assert!((rate / 1000..=rate / 1000 + 2).contains(&at_first), "{at_first} at {rate}/s");
    }
}

#[test]
fn without_a_rate_nothing_waits() {
    let mut pacer = Pacer::new(0, usize::MAX);
    for number in 0..10_000 {
        let now = Duration::from_nanos(number);
        assert_eq!(pacer.ready_at(now), now);
        pacer.sent(now);
    }
}

#[test]
fn a_pause_is_not_made_up_for() {
    for rate in [10, 1000, 10_000] {
        let mut pacer = Pacer::new(rate, usize::MAX);
        pacer.sent(Duration::ZERO);
        let pause = secs(3600);
        assert_eq!(pacer.ready_at(pause), pause);
        let mut burst = 0;
        while pacer.ready_at(pause) == pause {
            pacer.sent(pause);
            burst += 1;
        }
        let allowed = 1 + rate / 50; // 20 ms of them, and the one that was due
        assert!((1..=allowed).contains(&burst), "{burst} at once at {rate}/s");
    }
}

#[test]
fn no_more_than_the_window_is_in_flight() {
    let flight = flight();
    let mut pacer = Pacer::new(0, 3);
    for _ in 0..3 {
        assert_eq!(pacer.ready_at(secs(1)), secs(1));
        pacer.sent(secs(1));
    }
    assert_eq!(pacer.ready_at(secs(1)), secs(1) + flight);
    assert_eq!(pacer.ready_at(secs(1) + flight / 2), secs(1) + flight);
    assert_eq!(pacer.ready_at(secs(1) + flight), secs(1) + flight);
}

#[test]
fn an_answer_makes_room_for_one_more() {
    let flight = flight();
    let mut pacer = Pacer::new(0, 3);
    for _ in 0..3 {
        pacer.sent(secs(1));
    }
    for _ in 0..5 {
        pacer.answered();
        assert_eq!(pacer.ready_at(secs(1)), secs(1));
        pacer.sent(secs(1));
        assert_eq!(pacer.ready_at(secs(1)), secs(1) + flight);
    }
}

#[test]
fn answers_beyond_what_is_in_flight_make_no_more_room() {
    let mut pacer = Pacer::new(0, 3);
    for _ in 0..10 {
        pacer.answered();
    }
    for _ in 0..3 {
        assert_eq!(pacer.ready_at(secs(1)), secs(1));
        pacer.sent(secs(1));
    }
    assert!(pacer.ready_at(secs(1)) > secs(1));
}

proptest! {
    /// In any interval no more SYNs leave than the rate times its length, and what the bucket
    /// holds.
    #[test]
    fn no_interval_has_more_syns_than_the_rate_allows(
        rate in 1..50_000_u32,
        pauses in proptest::collection::vec(prop_oneof![Just(0_u64), 0..50_u64, 0..5000_u64], 50..300),
    ) {
        let mut pacer = Pacer::new(rate, usize::MAX);
        let mut now = Duration::ZERO;
        let mut sent = Vec::new();
        for pause in pauses {
            now = pacer.ready_at(now + Duration::from_micros(pause));
            pacer.sent(now);
            sent.push(now);
        }
        prop_assert!(sent.is_sorted());
        assert_paced(&sent, rate);
    }

    #[test]
    fn the_window_holds_whatever_is_answered(
        window in 1..20_usize,
        answers in proptest::collection::vec((0..3_usize, 0..40_u64), 20..200),
    ) {
        let (mut pacer, flight) = (Pacer::new(0, window), flight());
        let mut now = Duration::ZERO;
        let mut in_flight: Vec<Duration> = Vec::new();
        for (answers, pause) in answers {
            now += millis(pause);
            for _ in 0..answers.min(in_flight.len()) {
                pacer.answered();
                in_flight.remove(0);
            }
            now = pacer.ready_at(now);
            in_flight.retain(|sent| *sent + flight > now);
            prop_assert!(in_flight.len() < window, "{} in flight", in_flight.len());
            pacer.sent(now);
            in_flight.push(now);
        }
    }
}

#[test]
fn a_pool_leaves_at_its_rate_retransmissions_and_all() {
    for rate in [50, 77, 1000, 7919] {
        let run = under(rate, usize::MAX, 500, on_syn(|_, _| vec![]));
        let sent: Vec<_> = run.syns().into_iter().map(|(at, _)| at).collect();
        assert_eq!(sent.len(), 3 * 500);
        assert_paced(&sent, rate);
        for index in 0..500 {
            let verdict = run.outcome_of(index).as_ref().unwrap();
            assert_eq!((verdict.state(), verdict.attempts), (PortState::Filtered, 3));
        }
    }
}

#[test]
fn the_rate_is_used_up_while_there_is_something_to_send() {
    let run = under(1000, usize::MAX, 500, on_syn(|_, syn| vec![(millis(5), syn_ack(syn))]));
    let last = run.syns().last().unwrap().0;
    assert!(last >= millis(498) && last <= millis(500), "the last of 500 leaves at {last:?}");
}

/// A target whose first timeout has passed need not wait until all others have begun.
#[test]
fn retries_go_out_between_first_attempts() {
    let run = under(100, usize::MAX, 1000, on_syn(|_, _| vec![]));
    let syns = run.syns();
    let first_target = syns[0].1.destination;
    let times: Vec<_> =
        syns.iter().filter(|(_, syn)| syn.destination == first_target).map(|(at, _)| *at).collect();
    for (at, scheduled) in times.iter().zip([secs(0), secs(1), secs(3)]) {
        assert!(*at >= scheduled && *at <= scheduled + millis(30), "{at:?} for {scheduled:?}");
    }
    let numbers: Vec<_> = run.numbered_syns().iter().map(|(_, number, _)| *number).collect();
    let last_begun = numbers.iter().rposition(|number| *number == 0).unwrap();
    assert!(numbers[..last_begun].contains(&2));
}

#[test]
fn answers_open_the_window() {
    let run = under(0, 10, 1000, on_syn(|_, syn| vec![(millis(1), syn_ack(syn))]));
    // A hundred windows, a millisecond each.
    assert!(run.end <= millis(110), "{:?}", run.end);
    assert_in_flight(&run, 10);
    let silent = under(0, 10, 100, on_syn(|_, _| vec![]));
    let begun =
        |run: &Run| run.numbered_syns().into_iter().rfind(|(_, number, _)| *number == 0).unwrap().0;
    assert!(begun(&silent) >= flight() * 9, "{:?}", begun(&silent));
}

/// A SYN that the pacer held back is still waited for: at least for three quarters of its timeout.
#[test]
fn a_delayed_syn_gets_most_of_its_wait() {
    let run = under(100, usize::MAX, 400, on_syn(|_, _| vec![]));
    let waits = [millis(1000), millis(2000), millis(4000)];
    let mut by_target = BTreeMap::<SocketAddr, Vec<Duration>>::new();
    for (at, syn) in run.syns() {
        by_target.entry(syn.destination).or_default().push(at);
    }
    let mut delayed = 0;
    for (index, remote) in remotes(400).into_iter().enumerate() {
        let mut times = by_target[&remote].clone();
        assert_eq!(times.len(), 3);
        times.push(run.ended_at(index));
        for (pair, wait) in times.windows(2).zip(waits) {
            let waited = pair[1].saturating_sub(pair[0]);
            assert!(waited >= wait * 3 / 4, "{remote}: {waited:?} of {wait:?}");
            delayed += usize::from(waited != wait);
        }
    }
    assert!(delayed > 100, "only {delayed} waits were not as scheduled: nothing was delayed here");
}

/// It is held back by others, but its timeouts are not prolonged.
#[test]
fn a_delay_of_one_attempt_does_not_postpone_the_verdict() {
    let run = under(1000, usize::MAX, 200, on_syn(|_, _| vec![]));
    for index in 0..200 {
        let begun = run.syns()[index].0;
        let took = run.ended_at(index).saturating_sub(begun);
        assert!(took >= secs(7) && took <= secs(7) + millis(250), "{took:?}");
    }
}

fn under(rate: u32, window: usize, targets: usize, network: impl Network) -> Run {
    let conditions = Conditions { rate, window, ..Conditions::of(schedule_of(2, secs(10))) };
    check_under(conditions, &remotes(targets), network)
}

/// How long a full window waits for an answer.
fn flight() -> Duration {
    let mut pacer = Pacer::new(0, 1);
    pacer.sent(Duration::ZERO);
    let flight = pacer.ready_at(Duration::ZERO);
    assert!((millis(1)..=millis(100)).contains(&flight), "{flight:?}");
    flight
}

/// Asserts that between any two SYNs there are no more than the rate allows, the first one, and
/// what the bucket holds.
fn assert_paced(sent: &[Duration], rate: u32) {
    for (index, from) in sent.iter().enumerate() {
        for (count, to) in (1_u32..).zip(&sent[index..]) {
            let allowed =
                f64::from(rate) * (to.saturating_sub(*from) + SLACK).as_secs_f64() + 1.001;
            assert!(
                f64::from(count) <= allowed,
                "{count} SYNs from {from:?} to {to:?} at {rate}/s"
            );
        }
    }
}

/// Asserts from the packets that there are never more SYNs without an answer than this.
fn assert_in_flight(run: &Run, window: usize) {
    let mut in_flight = 0;
    for (_, packet) in &run.packets {
        match packet {
            PacketEvent::Sent(segment) if segment.flags == Flags::SYN => {
                in_flight += 1;
            }
            PacketEvent::Sent(_) | PacketEvent::SentByKernel { .. } => {}
            PacketEvent::Received(..) => in_flight -= 1,
        }
        assert!(in_flight <= window, "{in_flight} in flight");
    }
}

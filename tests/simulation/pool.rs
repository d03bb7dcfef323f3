//! What happens only in pools: the deadline, an early end, slots that are used again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::{FIRST_PORT, Network};
use halfopen::event_loop::PacketEvent;
use halfopen::local_error::{LocalError, SendError};
use halfopen::verdict::{EndOfRun, NoVerdict, PortState};
use halfopen::wire::Segment;
use proptest::prelude::*;

use crate::network::{
    Conditions, DEAF, Routed, Run, SERVER, check_all, check_under, millis, on_syn, remotes,
    rst_ack, schedule_of, secs, syn_ack,
};

#[test]
fn each_of_a_hundred_thousand_targets_gets_its_own_verdict() {
    let remotes = remotes(100_000);
    let state = |remote: SocketAddr| match u32::from(v4(remote)) % 3 {
        0 => PortState::Open,
        1 => PortState::Closed,
        _ => PortState::Filtered,
    };
    let run = check_all(
        &remotes,
        on_syn(move |_, syn| match state(syn.destination) {
            PortState::Open => vec![(millis(1), syn_ack(syn))],
            PortState::Closed => vec![(millis(1), rst_ack(syn))],
            _ => vec![],
        }),
    );
    assert_eq!(run.outcomes.len(), remotes.len());
    let mut ended = vec![false; remotes.len()];
    for (index, outcome) in &run.outcomes {
        assert!(!ended[*index], "target {index} ends twice");
        ended[*index] = true;
        assert_eq!(outcome.as_ref().unwrap().state(), state(remotes[*index]), "{index}");
    }
    assert_eq!(run.end, secs(7));
}

#[test]
fn at_the_deadline_what_is_pending_is_out_of_time() {
    let conditions = Conditions { deadline: millis(1500), ..default_conditions() };
    let run = check_under(
        conditions,
        &remotes(100),
        on_syn(|_, syn| match u32::from(v4(syn.destination)) % 2 {
            0 => vec![(millis(20), syn_ack(syn))],
            _ => vec![],
        }),
    );
    for index in 0..100 {
        match run.outcome_of(index) {
            Ok(verdict) => assert_eq!((verdict.state(), index % 2), (PortState::Open, 0)),
            Err(error) => {
                assert_eq!((error, index % 2), (&NoVerdict::Unfinished(EndOfRun::OutOfTime), 1));
            }
        }
    }
    assert_eq!(run.end, millis(1500));
}

#[test]
fn what_was_asked_for_and_not_begun_by_the_deadline_was_not_probed() {
    let conditions = Conditions { deadline: millis(505), rate: 100, ..default_conditions() };
    let run = check_under(conditions, &remotes(1000), on_syn(|_, _| vec![]));
    let begun: HashSet<_> = run.syns().iter().map(|(_, syn)| syn.destination).collect();
    assert!((50..=52).contains(&begun.len()), "{} begun in 505 ms at 100/s", begun.len());
    assert!(
        run.outcomes.len() <= begun.len() + 1,
        "no more targets are taken than may be probed next"
    );
    for (index, outcome) in &run.outcomes {
        let begun = begun.contains(&remotes(1000)[*index]);
        let error = if begun {
            NoVerdict::Unfinished(EndOfRun::OutOfTime)
        } else {
            NoVerdict::NotProbed(EndOfRun::OutOfTime)
        };
        assert_eq!(outcome, &Err(error));
    }
}

#[test]
fn every_pending_target_ends_when_the_driver_gives_up() {
    let conditions = Conditions { patience: 10, ..default_conditions() };
    let run = check_under(
        conditions,
        &remotes(100),
        on_syn(|_, syn| {
            let delay = u64::from(u32::from(v4(syn.destination)) % 100);
            vec![(millis(1 + delay), syn_ack(syn))]
        }),
    );
    assert_eq!(run.outcomes.len(), 100);
    let open = run.outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    assert!((10..20).contains(&open), "{open} open");
    let faults: Vec<_> = run.outcomes.iter().filter_map(|(_, o)| o.as_ref().err()).collect();
    assert!(faults.iter().all(|error| **error == NoVerdict::Unfinished(EndOfRun::Interrupted)));
    assert!(run.end <= millis(20), "{:?}", run.end);
    // Each SYN+ACK that has arrived by then is still ended.
    assert_eq!(run.resets().len(), received(&run));
}

/// Earlier verdicts remain; no target is forgotten.
#[test]
fn when_nothing_can_be_received_any_more_every_target_left_ends_with_that() {
    let conditions = Conditions { deaf_at: Some(millis(500)), ..default_conditions() };
    let run = check_under(
        conditions,
        &remotes(100),
        on_syn(|_, syn| match u32::from(v4(syn.destination)) % 2 {
            0 => vec![(millis(20), syn_ack(syn))],
            _ => vec![],
        }),
    );
    for index in 0..100 {
        match run.outcome_of(index) {
            Ok(verdict) => assert_eq!((verdict.state(), index % 2), (PortState::Open, 0)),
            Err(error) => assert_eq!((error, index % 2), (&DEAF.into(), 1)),
        }
    }
}

/// There is nothing else to wait for.
#[test]
fn a_send_refused_each_time_ends_with_the_last_attempt() {
    let kernel = |segment: &Segment| Err(LocalError::Firewall(segment.destination));
    let run = check_under(
        Conditions { kernel, ..default_conditions() },
        &remotes(3),
        on_syn(|_, _| vec![]),
    );
    for (index, remote) in remotes(3).into_iter().enumerate() {
        assert_eq!(run.outcome_of(index), &Err(LocalError::Firewall(remote).into()));
    }
    assert_eq!(run.end, secs(3));
}

/// A connection table that was full for a moment.
#[test]
fn a_send_refused_once_is_made_up_for_by_the_next_attempt() {
    let network = Routed {
        route: |number| match number {
            0 => Err(SendError::LocalError(LocalError::Firewall(SERVER))),
            _ => Ok(()),
        },
        network: on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]),
    };
    let run = check_under(default_conditions(), &remotes(200), network);
    for (_, outcome) in &run.outcomes {
        let verdict = outcome.as_ref().unwrap();
        assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 1));
        assert_eq!(verdict.round_trip(), Some(millis(20)));
    }
    assert_eq!((run.outcomes.len(), run.end), (200, millis(1020)));
}

/// A queue that stays full: no attempt is used up, nothing is learnt, and the reason is known.
#[test]
fn without_room_for_a_syn_there_is_no_verdict() {
    let full = |to| LocalError::Send { to, errno: nix::errno::Errno::ENOBUFS };
    let kernel = |segment: &Segment| match segment.destination.port() % 2 {
        0 => Err(LocalError::Send { to: segment.destination, errno: nix::errno::Errno::ENOBUFS }),
        _ => Ok(()),
    };
    let mut targets = remotes(4);
    targets[1].set_port(26);
    let conditions = Conditions { kernel, deadline: secs(5), ..default_conditions() };
    let run = check_under(conditions, &targets, on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]));
    for (index, target) in targets.iter().enumerate() {
        match run.outcome_of(index) {
            Ok(verdict) => assert_eq!((verdict.state(), target.port()), (PortState::Open, 25)),
            Err(error) => assert_eq!((error, target.port()), (&full(*target).into(), 26)),
        }
    }
    assert_eq!(run.end, secs(5));
}

/// The target is long forgotten, and others have taken its place.
#[test]
fn late_syn_ack_to_a_target_whose_slot_was_used_again_still_gets_its_rst() {
    let conditions = Conditions { rate: 1000, ..default_conditions() };
    let targets = remotes(5000);
    let (closed, open) = (targets[7], targets[8]);
    let run = check_under(
        conditions,
        &targets,
        on_syn(move |_, syn| match syn.destination {
            to if to == closed => vec![(millis(1), rst_ack(syn)), (secs(3), syn_ack(syn))],
            to if to == open => vec![(millis(1), syn_ack(syn)), (secs(4), syn_ack(syn))],
            _ => vec![(millis(1), rst_ack(syn))],
        }),
    );
    assert_eq!(run.outcome_of(7).as_ref().unwrap().state(), PortState::Closed);
    let resets_to = |remote| {
        let resets = run.resets();
        let to_it = resets.iter().filter(|(_, rst)| rst.destination == remote);
        to_it.map(|(_, rst)| rst.sequence).collect::<Vec<_>>()
    };
    for (index, count) in [(7, 1), (8, 2)] {
        let (_, syn) = run.syns()[index];
        assert_eq!(syn.destination, targets[index]);
        assert_eq!(resets_to(targets[index]), vec![syn.sequence + 1; count]);
    }
    assert_eq!(run.resets().len(), 3);
    assert!(run.discarded.is_empty(), "{:?}", run.discarded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Targets come and go at different times, so that slots are used again in every order; each
    /// ends by its own answer, in its own time.
    #[test]
    fn slots_are_used_again_and_never_mixed_up(
        answers in proptest::collection::vec((0..3_usize, 0..4_u8, 1..6000_u64), 50..400),
        rate in 20..2000_u32,
        window in 1..100_usize,
    ) {
        let remotes = remotes(answers.len());
        let plan: HashMap<_, _> = remotes.iter().copied().zip(answers.iter().copied()).collect();
        let network = planned(plan.clone());
        let conditions = Conditions { rate, window, ..default_conditions() };
        let run = check_under(conditions, &remotes, network);
        prop_assert_eq!(run.outcomes.len(), remotes.len());
        let mut syns = BTreeMap::<SocketAddr, Vec<(Duration, Segment)>>::new();
        for (at, syn) in run.syns() {
            syns.entry(syn.destination).or_default().push((at, syn));
        }
        for (index, remote) in remotes.iter().enumerate() {
            let (answered, kind, delay) = plan[remote];
            let verdict = run.outcome_of(index).as_ref().unwrap();
            let syns = &syns[remote];
            let ended = run.ended_at(index);
            let answer_at = syns.get(answered).map(|(at, _)| *at + millis(delay));
            match (kind, answer_at.filter(|at| *at <= ended)) {
                (0, Some(_)) => prop_assert_eq!(verdict.state(), PortState::Open),
                (1, Some(_)) => prop_assert_eq!(verdict.state(), PortState::Closed),
                _ => prop_assert_eq!(verdict.state(), PortState::Filtered),
            }
            if let Some(response_time) = verdict.response_time {
                let (_, syn) = syns[answered];
                prop_assert_eq!(verdict.local, Some(syn.source));
                let of_that_port = syns.iter().filter(|(_, other)| other.source == syn.source);
                let sent_at: Vec<_> = of_that_port.map(|(at, _)| *at).collect();
                let off = (sent_at[0] + response_time).abs_diff(answer_at.unwrap());
                prop_assert!(off <= Duration::from_micros(1), "off by {:?}", off);
                let round_trip = Some(millis(delay)).filter(|_| sent_at.len() == 1);
                prop_assert_eq!(verdict.round_trip(), round_trip);
            } else {
                prop_assert_eq!(verdict.attempts, 3);
            }
            let ports: Vec<_> = syns.iter().map(|(_, syn)| syn.source.port()).collect();
            prop_assert_eq!(&ports[..], &[FIRST_PORT, FIRST_PORT, FIRST_PORT + 1][..ports.len()]);
        }
    }
}

/// Which attempt of each target is answered, how, and when.
fn planned(plan: HashMap<SocketAddr, (usize, u8, u64)>) -> impl Network {
    on_syn(move |number, syn| match plan[&syn.destination] {
        (answered, 0, delay) if number == answered => vec![(millis(delay), syn_ack(syn))],
        (answered, 1, delay) if number == answered => vec![(millis(delay), rst_ack(syn))],
        _ => vec![],
    })
}

fn default_conditions() -> Conditions {
    Conditions::of(schedule_of(2, secs(10)))
}

fn received(run: &Run) -> usize {
    let received =
        |(_, packet): &&(Duration, PacketEvent)| matches!(packet, PacketEvent::Received(..));
    run.packets.iter().filter(received).count()
}

fn v4(remote: SocketAddr) -> std::net::Ipv4Addr {
    let SocketAddr::V4(v4) = remote else { unreachable!("all of IPv4") };
    *v4.ip()
}

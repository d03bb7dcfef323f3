//! Segments that prove something, and those that prove nothing, whatever their flags and numbers.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::event::Event;
use halfopen::probe::DiscardReason;
use halfopen::verdict::{PortState, Reason};
use halfopen::wire::{Flags, Segment, SequenceNumber};

use crate::network::{
    Conditions, NOBODY, RST_ACK, Run, SERVER, SYN_ACK, answer, arrive, check, check_all,
    check_under, millis, on_syn, remotes, schedule_of, secs, syn_ack,
};

#[test]
fn a_refusal_with_a_wrong_acknowledgement_proves_nothing() {
    for offset in WRONG {
        let run = check_forged(|syn| Segment {
            acknowledgement: syn.sequence + offset,
            ..answer(syn, RST_ACK)
        });
        assert_proves_nothing(&run, DiscardReason::WrongAcknowledgement);
    }
    let run =
        check_forged(|syn| Segment { acknowledgement: SequenceNumber(0), ..answer(syn, RST_ACK) });
    assert_proves_nothing(&run, DiscardReason::WrongAcknowledgement);
}

/// Even with the right number in a field that means nothing without its flag.
#[test]
fn a_bare_rst_proves_nothing() {
    let run = check_forged(|syn| answer(syn, Flags::RST));
    assert_proves_nothing(&run, DiscardReason::BareReset);
}

#[test]
fn a_bare_syn_proves_nothing() {
    let run = check_forged(|syn| answer(syn, Flags::SYN));
    assert_proves_nothing(&run, DiscardReason::BareSyn);
}

#[test]
fn impossible_flags_prove_nothing() {
    let with_ack = [Flags::SYN | Flags::RST, Flags::SYN | Flags::FIN].map(|f| f | Flags::ACK);
    let without = [Flags::SYN | Flags::RST, Flags::SYN | Flags::FIN, Flags(0), Flags::FIN];
    for flags in with_ack.into_iter().chain(without) {
        let run = check_forged(|syn| answer(syn, flags));
        assert_proves_nothing(&run, DiscardReason::ImpossibleFlags);
    }
}

#[test]
fn the_end_of_an_old_connection_proves_nothing() {
    let run = check_forged(|syn| answer(syn, Flags::FIN | Flags::ACK));
    assert_proves_nothing(&run, DiscardReason::OldConnection);
}

#[test]
fn a_segment_from_elsewhere_proves_nothing() {
    for source in elsewhere() {
        let run = check_forged(|syn| Segment { source, ..answer(syn, RST_ACK) });
        assert_proves_nothing(&run, DiscardReason::NotOurs);
        for offset in WRONG {
            let run = check_forged(|syn| Segment {
                source,
                acknowledgement: syn.sequence + offset,
                ..answer(syn, SYN_ACK)
            });
            assert_proves_nothing(&run, DiscardReason::NotOurs);
        }
    }
}

/// Address translation on the way back that has lost its state. It has seen our SYN.
#[test]
fn a_syn_ack_from_elsewhere_is_reported_but_is_not_the_targets() {
    for source in elsewhere() {
        let run = check_forged(|syn| Segment { source, ..answer(syn, SYN_ACK) });
        assert_eq!(run.verdict().reason, Reason::AnsweredBy(source));
        assert_eq!(run.verdict().state(), PortState::Filtered);
        assert_eq!((run.syn_times(), run.end), (vec![0, 1000, 3000], secs(7)));
        assert!(run.discarded.is_empty(), "{:?}", run.discarded);
        let [(at, rst)] = run.resets()[..] else { panic!("{:?}", run.resets()) };
        let (_, syn) = run.syns()[0];
        assert_eq!((at, rst.source, rst.destination), (millis(20), syn.source, source));
        assert_eq!(rst.sequence, syn.sequence + 1);
    }
}

#[test]
fn a_true_answer_outranks_a_syn_ack_from_elsewhere() {
    for (flags, state) in [(SYN_ACK, PortState::Open), (RST_ACK, PortState::Closed)] {
        for source in elsewhere() {
            let run = check(on_syn(|number, syn| match number {
                0 => vec![(millis(20), arrive(Segment { source, ..answer(syn, SYN_ACK) }))],
                1 => vec![(millis(20), arrive(answer(syn, flags)))],
                _ => vec![],
            }));
            assert_eq!(run.verdict().state(), state);
        }
    }
}

/// The search takes long among many targets, and a flood of such segments would hold up all of
/// them.
#[test]
fn a_syn_ack_from_elsewhere_is_not_looked_for_in_a_crowd() {
    let run = check_all(
        &remotes(65),
        on_syn(|number, syn| match (syn.destination == remotes(1)[0], number) {
            (true, 0) => {
                vec![(millis(20), arrive(Segment { source: NOBODY, ..answer(syn, SYN_ACK) }))]
            }
            _ => vec![],
        }),
    );
    run.ignored_once(DiscardReason::NotOurs);
    assert!(run.resets().is_empty());
}

#[test]
fn a_segment_to_elsewhere_proves_nothing() {
    let not_used_yet = |syn: &Segment| SocketAddr::new(syn.source.ip(), syn.source.port() + 1);
    let other_address = |syn: &Segment| ([198, 19, 0, 9], syn.source.port()).into();
    for destination in [not_used_yet, other_address] {
        let run =
            check_forged(|syn| Segment { destination: destination(syn), ..answer(syn, SYN_ACK) });
        assert_proves_nothing(&run, DiscardReason::NotOurs);
    }
}

/// Each of the 256 combinations of flags, with the right acknowledgement number: only SYN+ACK
/// opens, only RST+ACK closes.
#[test]
fn only_an_acknowledgement_with_syn_or_rst_decides() {
    for flags in (0..=255).map(Flags) {
        let run = check_forged(|syn| answer(syn, flags));
        let has = |flag| flags.contains(flag);
        let state = run.verdict().state();
        let wanted = match (has(Flags::ACK), has(Flags::SYN), has(Flags::RST), has(Flags::FIN)) {
            (true, true, false, false) => PortState::Open,
            (true, false, true, false) => PortState::Closed,
            (true, false, true, true) => continue, // RST+FIN+ACK is undefined
            // An old connection on one port of three does not make it stale.
            _ => PortState::Filtered,
        };
        assert_eq!(state, wanted, "{flags}");
        let old_connection = (flags.0 & 0x17) == Flags::ACK.0;
        let answered = wanted == PortState::Open || old_connection;
        assert_eq!(run.resets().len(), usize::from(answered), "RSTs for {flags}");
    }
}

/// With a wrong acknowledgement number none of the 256 combinations opens or closes anything.
#[test]
fn no_flags_make_up_for_a_wrong_acknowledgement() {
    for flags in (0..=255).map(Flags) {
        let run =
            check_forged(|syn| Segment { acknowledgement: syn.sequence + 2, ..answer(syn, flags) });
        let state = run.verdict().state();
        assert!([PortState::Filtered, PortState::Stale].contains(&state), "{flags}: {state}");
    }
}

#[test]
fn what_proves_nothing_does_not_hide_the_answer_behind_it() {
    let run = check(on_syn(|_, syn| {
        let forged = [Flags(0), Flags::RST, Flags::SYN, Flags::SYN | Flags::RST | Flags::ACK];
        let mut arrivals: Vec<_> =
            forged.iter().map(|flags| (millis(1), arrive(answer(syn, *flags)))).collect();
        arrivals.push((millis(2), syn_ack(syn)));
        arrivals
    }));
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.verdict().round_trip(), Some(millis(2)));
    assert_eq!(run.discarded.values().sum::<usize>(), 4);
}

#[test]
fn data_and_urgent_flags_do_not_matter() {
    let extra = Flags(0x08 | 0x20 | 0x40 | 0x80);
    let run = check_forged(|syn| answer(syn, SYN_ACK | extra));
    assert_eq!(run.verdict().state(), PortState::Open);
}

/// The sequence number is the highest, so the answer acknowledges 0.
#[test]
fn an_acknowledgement_may_wrap() {
    for (flags, state) in [(SYN_ACK, PortState::Open), (RST_ACK, PortState::Closed)] {
        let run_from = |start: Duration| {
            let schedule = schedule_of(2, secs(10));
            let conditions =
                Conditions { start, deadline: start + secs(10), ..Conditions::of(schedule) };
            let network = on_syn(|_, syn| vec![(millis(5), arrive(answer(syn, flags)))]);
            check_under(conditions, &[SERVER], network)
        };
        // The number grows by one in 4 µs (RFC 6528 §3).
        let SequenceNumber(at_zero) = run_from(Duration::ZERO).syns()[0].1.sequence;
        let run = run_from(Duration::from_micros(4) * (u32::MAX - at_zero));
        assert_eq!(run.syns()[0].1.sequence, SequenceNumber(u32::MAX));
        assert_eq!(run.verdict().state(), state);
        assert_eq!(run.syns().len(), 1);
        let resets: Vec<_> = run.resets().iter().map(|(_, reset)| reset.sequence).collect();
        assert_eq!(resets, if flags == SYN_ACK { vec![SequenceNumber(0)] } else { vec![] });
    }
}

#[test]
fn no_rst_is_sent_if_the_kernel_has_sent_it() {
    for flags in [SYN_ACK, Flags::ACK] {
        let run = check(on_syn(|number, syn| match number {
            0 => {
                let segment = answer(syn, flags);
                vec![(
                    millis(20),
                    Event::Segment { segment, hop_limit: 255, reset_by_kernel: true },
                )]
            }
            _ => vec![],
        }));
        assert!(run.resets().is_empty());
        let state = if flags == SYN_ACK { PortState::Open } else { PortState::Filtered };
        assert_eq!(run.verdict().state(), state);
    }
}

#[test]
fn the_hop_limit_alone_does_not_keep_our_rst_back() {
    for hop_limit in [0, 1, 64, 254, 255] {
        let run = check(on_syn(|_, syn| {
            let segment = answer(syn, SYN_ACK);
            vec![(millis(20), Event::Segment { segment, hop_limit, reset_by_kernel: false })]
        }));
        assert_eq!(run.resets().len(), 1);
    }
}

/// A run in which the first SYN brings this, and nothing else ever comes.
fn check_forged(mut forge: impl FnMut(&Segment) -> Segment) -> Run {
    check(on_syn(|number, syn| match number {
        0 => vec![(millis(20), arrive(forge(syn)))],
        _ => vec![],
    }))
}

/// How far off the acknowledgement number may be.
const WRONG: [u32; 5] = [0, 2, u32::MAX, 0x8000_0000, 0x1234_5678];

/// Another port of the target, and others than the target.
fn elsewhere() -> [SocketAddr; 2] {
    [SocketAddr::new(SERVER.ip(), 26), SocketAddr::from(([198, 18, 0, 8], 25))]
}

/// Asserts that the run was not affected, counted the segment, and did not answer it.
fn assert_proves_nothing(run: &Run, why: DiscardReason) {
    run.ignored_once(why);
    assert_eq!(run.verdict().state(), PortState::Filtered);
    assert_eq!(run.syn_times(), [0, 1000, 3000]);
    assert_eq!(run.end, secs(7));
    assert!(run.resets().is_empty());
}

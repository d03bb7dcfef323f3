//! The answer, piece by piece. That Prometheus understands it is tested with Prometheus.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::event::{Event, EventKind, PoolView, TargetView};
use crate::fleet::health::State;
use crate::live::{Live, Publisher, Update};

fn target(id: u32, label: &str) -> (PoolView, TargetView) {
    let pool = PoolView {
        name: "a\"b\\c\nd".into(),
        up: 1,
        targets: 1,
        fails_open: false,
        fails_open_at: None,
    };
    let target = TargetView {
        id,
        label: label.into(),
        endpoint: None,
        from: State::Unknown,
        to: if id.is_multiple_of(2) { State::Up } else { State::Unknown },
        finding: None,
        reason: None,
        count: 0,
        advertised: State::Up,
        is_held: false,
    };
    (pool, target)
}

fn targets(count: u32) -> (Publisher, Live) {
    let targets = (0..count).map(|id| target(id, &format!("web{id}.example:443")));
    Live::new(Timestamp::UNIX_EPOCH, targets)
}

fn text(format: Format, count: u32) -> String {
    let (_publisher, live) = targets(count);
    let table = live.read();
    let mut exposition = Exposition::new(format, true);
    all(|| exposition.next(&table))
}

/// Returns all pieces as text.
fn all(next: impl FnMut() -> Option<Vec<u8>>) -> String {
    let pieces: Vec<_> = std::iter::from_fn(next).collect();
    String::from_utf8(pieces.concat()).unwrap()
}

/// Returns the number of lines of each family, and asserts that they follow its head.
fn families(text: &str) -> BTreeMap<String, usize> {
    let mut families = BTreeMap::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().unwrap().to_owned();
            assert_eq!(families.insert(family.clone(), 0), None, "{family} comes twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} among {family}");
            *families.get_mut(&family).unwrap() += 1;
        }
    }
    families
}

#[test]
fn each_family_is_complete_however_many_pieces_it_has() {
    for format in [Format::Classic, Format::OpenMetrics] {
        let text = text(format, u32::try_from(3 * PIECE + 1).unwrap());
        let families = families(&text);
        assert_eq!(families["halfopen_target_held"], 3 * PIECE + 1);
        assert_eq!(families["halfopen_target_up"], 3 * PIECE / 2 + 1); // the others are unknown
        assert_eq!(families["halfopen_pool_up"], 1);
        assert_eq!(families["halfopen_round_trip_seconds"], 19);
        assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

/// Takes the first number off.
fn varint(bytes: &mut &[u8]) -> usize {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let bits = bytes.split_off(..length).unwrap().iter().rev();
    bits.fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f))
}

/// Takes off the first of some things that have their lengths before them.
fn delimited<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = varint(bytes);
    bytes.split_off(..length).unwrap()
}

#[test]
fn families_of_messages_are_those_of_the_text() {
    let count = u32::try_from(2 * PIECE + 1).unwrap();
    let (_publisher, live) = targets(count);
    let mut exposition = Exposition::new(Format::Protobuf, true);
    let mut found = BTreeMap::new();
    while let Some(piece) = exposition.next(&live.read()) {
        let mut messages = &*piece;
        while !messages.is_empty() {
            let mut family = delimited(&mut messages);
            let mut name = "";
            while !family.is_empty() {
                match varint(&mut family) >> 3 {
                    1 => name = str::from_utf8(delimited(&mut family)).unwrap(),
                    2 => drop(delimited(&mut family)),
                    3 => drop(varint(&mut family)),
                    4 => {
                        delimited(&mut family);
                        *found.entry(name.to_owned()).or_default() += 1;
                    }
                    field => panic!("{field}"),
                }
            }
        }
    }
    let mut families = families(&text(Format::Classic, count));
    families.retain(|_, lines| *lines > 0);
    for name in ["halfopen_round_trip_seconds", "halfopen_schedule_lag_seconds"] {
        families.insert(name.to_owned(), 1);
    }
    assert_eq!(found, families);
}

#[test]
fn many_pools_are_told_in_pieces() {
    let count = 2 * PIECE + 1;
    let targets = (0..u32::try_from(count).unwrap()).map(|id| {
        let (pool, target) = target(id, "web.example:443");
        (PoolView { name: format!("web{id}").into(), ..pool }, target)
    });
    let (_publisher, live) = Live::new(Timestamp::UNIX_EPOCH, targets);
    let mut exposition = Exposition::new(Format::Classic, false);
    let text = all(|| {
        let piece = exposition.next(&live.read())?;
        let lines = str::from_utf8(&piece).unwrap().lines().count();
        assert!(lines <= 19 * PIECE + 2, "{lines}");
        Some(piece)
    });
    let families = families(&text);
    assert_eq!(families["halfopen_pool_up"], count);
    assert_eq!(families["halfopen_pool_fail_open"], count);
    assert_eq!(families["halfopen_round_trip_seconds"], 19 * count);
}

#[test]
fn the_formats_differ_in_the_names_of_counters() {
    let (classic, open) = (text(Format::Classic, 1), text(Format::OpenMetrics, 1));
    assert!(classic.contains("# TYPE halfopen_probes_total counter\n"));
    assert!(open.contains("# TYPE halfopen_probes counter\nhalfopen_probes_total{"));
}

/// Prometheus misses the first of a counter that begins with it.
#[test]
fn faults_are_counted_from_zero() {
    let text = text(Format::Classic, 0);
    for fault in ["descriptors", "firewall"] {
        let line = format!("halfopen_faults_total{{fault=\"{fault}\"}} 0\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn labels_are_escaped() {
    let text = text(Format::Classic, 1);
    assert!(text.contains("halfopen_pool_up{pool=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
}

#[test]
fn without_metrics_of_targets_there_are_those_of_pools() {
    let (_publisher, live) = Live::new(Timestamp::UNIX_EPOCH, std::iter::empty());
    let mut exposition = Exposition::new(Format::OpenMetrics, false);
    let text = all(|| exposition.next(&live.read()));
    assert!(text.contains("halfopen_build_info{version="));
    assert!(!text.contains("halfopen_target_up"));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_target_that_takes_the_id_of_another_during_an_answer_has_its_own_labels() {
    let count = 2 * PIECE;
    let (mut publisher, live) = targets(u32::try_from(count).unwrap());
    let mut exposition = Exposition::new(Format::Classic, true);
    let mut next = || exposition.next(&live.read());
    // The program, a piece for each family of the pool, all of the first of targets, half of the
    // second.
    let mut pieces = 0..4 + POOLS.len();
    let before = all(|| pieces.next().and_then(|_| next()));
    assert!(before.contains(
        "target_advertised_up{pool=\"a\\\"b\\\\c\\nd\",target=\"web3.example:443\"} 1\n"
    ));
    for (kind, label) in [(EventKind::Removed, "web3.example:443"), (EventKind::Added, "new")] {
        let (pool, target) = target(3, label);
        let event = Event { sequence: 1, kind, pool: Some(pool), target: Some(target) };
        publisher.publish(Update::Event(Box::new(event), Timestamp::UNIX_EPOCH));
    }
    publisher.flush();
    let after = all(next);
    let lines = |target: &str| after.lines().filter(|line| line.contains(target)).count();
    assert_eq!(lines("\"web3.example:443\""), 0);
    assert_eq!(lines("\"new\""), lines("\"web5.example:443\""));
    assert_eq!(lines("\"web1.example:443\""), lines("\"web5.example:443\""));
}

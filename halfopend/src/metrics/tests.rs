//! The text, piece by piece. That Prometheus understands it is tested with Prometheus.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::event::{PoolView, TargetView};
use crate::fleet::health::State;
use crate::live::Live;

fn text(format: Format, targets: u32) -> String {
    let targets = (0..targets).map(|id| {
        let pool = PoolView { name: "a\"b\\c\nd".into(), up: 1, targets, fails_open: false };
        let target = TargetView {
            id,
            label: format!("web{id}.example:443").into(),
            endpoint: None,
            from: State::Unknown,
            to: if id % 2 == 0 { State::Up } else { State::Unknown },
            finding: None,
            reason: None,
            count: 0,
            advertised: State::Up,
            is_held: false,
        };
        (pool, target)
    });
    let (_publisher, live) = Live::new(Timestamp::UNIX_EPOCH, targets);
    let table = live.read();
    let mut exposition = Exposition::new(format, true);
    std::iter::from_fn(|| exposition.next(&table)).collect()
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

#[test]
fn the_formats_differ_in_the_names_of_counters() {
    let (classic, open) = (text(Format::Classic, 1), text(Format::OpenMetrics, 1));
    assert!(classic.contains("# TYPE halfopen_probes_total counter\n"));
    assert!(open.contains("# TYPE halfopen_probes counter\nhalfopen_probes_total{"));
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
    let text: String = std::iter::from_fn(|| exposition.next(&live.read())).collect();
    assert!(text.contains("halfopen_build_info{version="));
    assert!(!text.contains("halfopen_target_up"));
    assert!(text.ends_with("# EOF\n"));
}

//! The families of metrics.

use halfopen::verdict::PortState;

use super::encoder::{Encoder, Kind, Label, Value};
use crate::fleet::health::State;
use crate::live::{PoolRow, Table, TargetRow};

/// What the names of all families begin with.
const PREFIX: &str = "halfopen_";

/// A family, and what writes its metrics.
pub(super) struct Family<W> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    pub(super) write: W,
}

/// Writes the metrics of the program.
type OfProgram = fn(&Table, &mut dyn Encoder);

/// Writes the metrics of a pool.
type OfPool = fn(&PoolRow, Metric<'_>);

/// Writes the metrics of a target.
type OfTarget = fn(&TargetRow, Metric<'_>);

impl<W> Family<W> {
    pub(super) fn begin(&self, out: &mut dyn Encoder, is_continued: bool) {
        out.begin(&format!("{PREFIX}{}", self.name), self.kind, self.help, is_continued);
    }
}

pub(super) const PROGRAM: &[Family<OfProgram>] = &[
    Family {
        name: "build_info",
        kind: Kind::Gauge,
        help: "Always 1; the version of the program.",
        write: |_, out| out.labelled(("version", env!("CARGO_PKG_VERSION")), 1_u32),
    },
    Family {
        name: "isolated",
        kind: Kind::Gauge,
        help: "1 while nothing at all answers: this machine is cut off, and all states stand.",
        write: |table, out| out.plain(table.is_isolated),
    },
    Family {
        name: "faults_total",
        kind: Kind::Counter,
        help: "Checks that a fault of this machine has hidden, or delayed (descriptors).",
        write: |table, out| {
            out.labelled(("fault", "descriptors"), table.program.delayed);
            for (fault, count) in &table.faults {
                out.labelled(("fault", fault), *count);
            }
        },
    },
    Family {
        name: "answers_lost_total",
        kind: Kind::Counter,
        help: "Answers that found the receive queue full.",
        write: |table, out| out.plain(table.program.answers_lost),
    },
    Family {
        name: "events_lost_total",
        kind: Kind::Counter,
        help: "Events that were lost because their reader was slow.",
        write: |table, out| out.plain(table.program.events_lost),
    },
    Family {
        name: "hook_failures_total",
        kind: Kind::Counter,
        help: "Runs of hooks that have failed.",
        write: |table, out| out.plain(table.program.hook_failures),
    },
    Family {
        name: "schedule_lag_seconds",
        kind: Kind::Histogram,
        help: "How late checks began.",
        write: |table, out| out.histogram(&[], &table.program.lags),
    },
    Family {
        name: "config_last_reload_successful",
        kind: Kind::Gauge,
        help: "Whether the newest reload of the configuration succeeded.",
        write: |table, out| {
            let succeeded = table.program.reload.is_none_or(|(succeeded, _)| succeeded);
            out.plain(succeeded);
        },
    },
    Family {
        name: "config_last_reload_success_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the configuration was last read with success.",
        write: |table, out| {
            if let Some((_, time)) = table.program.reload {
                out.plain(time);
            }
        },
    },
];

pub(super) const POOLS: &[Family<OfPool>] = &[
    Family {
        name: "pool_up",
        kind: Kind::Gauge,
        help: "How many targets of the pool are up.",
        write: |row, metric| metric.end(row.up),
    },
    Family {
        name: "pool_targets",
        kind: Kind::Gauge,
        help: "How many targets the pool has.",
        write: |row, metric| metric.end(row.targets),
    },
    Family {
        name: "pool_fail_open",
        kind: Kind::Gauge,
        help: "1 while the pool advertises silent targets as up.",
        write: |row, metric| metric.end(row.fails_open),
    },
    Family {
        name: "round_trip_seconds",
        kind: Kind::Histogram,
        help: "Round-trip times of the targets of the pool.",
        write: |row, metric| metric.encoder.histogram(metric.labels, &row.round_trips),
    },
];

pub(super) const TARGETS: &[Family<OfTarget>] = &[
    Family {
        name: "target_up",
        kind: Kind::Gauge,
        help: "Whether the target is up. There is no line while that is unknown.",
        write: |row, metric| is_up(row.state, metric),
    },
    Family {
        name: "target_advertised_up",
        kind: Kind::Gauge,
        help: "Whether load balancers are told that it is up. There is no line while that is unknown.",
        write: |row, metric| is_up(row.advertised, metric),
    },
    Family {
        name: "target_held",
        kind: Kind::Gauge,
        help: "1 while a fault of this machine hides the target: its state stands.",
        write: |row, metric| metric.end(row.is_held),
    },
    Family {
        name: "target_round_trip_seconds",
        kind: Kind::Gauge,
        help: "The newest round-trip time.",
        write: |row, metric| {
            if let Some(time) = row.round_trip() {
                metric.end(time);
            }
        },
    },
    Family {
        name: "target_last_transition_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When its state changed last.",
        write: |row, metric| {
            if let Some(time) = row.since() {
                metric.end(time);
            }
        },
    },
    Family {
        name: "probes_total",
        kind: Kind::Counter,
        help: "Checks that have ended.",
        write: |row, metric| metric.end(row.checks()),
    },
    Family {
        name: "probe_failures_total",
        kind: Kind::Counter,
        help: "Checks that did not find the port open. Those that a fault of this machine hid do not count.",
        write: |row, metric| metric.end(row.failures()),
    },
    Family {
        name: "verdicts_total",
        kind: Kind::Counter,
        help: "Checks by the state of the port that they found.",
        write: |row, mut metric| {
            for (state, count) in PortState::ALL.iter().zip(row.verdicts) {
                if count > 0 {
                    metric.end_with(("state", state.name()), count);
                }
            }
        },
    },
    Family {
        name: "syns_total",
        kind: Kind::Counter,
        help: "SYNs that were sent.",
        write: |row, metric| metric.end(row.syns),
    },
    Family {
        name: "transitions_total",
        kind: Kind::Counter,
        help: "Changes of the state.",
        write: |row, metric| metric.end(row.transitions),
    },
];

/// The metric of a pool or of a target, without its value.
pub(super) struct Metric<'a> {
    pub(super) labels: &'a [u8],
    pub(super) encoder: &'a mut dyn Encoder,
}

impl Metric<'_> {
    /// Writes it with this value.
    fn end(self, value: impl Into<Value>) {
        self.encoder.value(self.labels, value.into());
    }

    /// Writes it with one more label.
    fn end_with(&mut self, label: Label<'_>, value: impl Into<Value>) {
        let mut labels = self.labels.to_vec();
        self.encoder.append_label(label, &mut labels);
        self.encoder.value(&labels, value.into());
    }
}

fn is_up(state: State, metric: Metric<'_>) {
    match state {
        State::Unknown => {}
        State::Up => metric.end(true),
        State::Down => metric.end(false),
    }
}

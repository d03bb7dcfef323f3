//! The families of metrics.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::text::{Kind, Line, Text};
use crate::fleet::health::State;
use crate::live::{PoolRow, Table, TargetRow};

/// A family of the program or of its pools.
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    lines: fn(&Table, &str, &mut Text),
}

impl Family {
    pub(super) fn write(&self, table: &Table, text: &mut Text) {
        text.head(self.name, self.kind, self.help);
        (self.lines)(table, self.name, text);
    }
}

pub(super) const PROGRAM: &[Family] = &[
    Family {
        name: "build_info",
        kind: Kind::Gauge,
        help: "Always 1; the version of the program.",
        lines: |_, name, text| {
            text.line(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        },
    },
    Family {
        name: "isolated",
        kind: Kind::Gauge,
        help: "1 while nothing at all answers: this machine is cut off, and all states stand.",
        lines: |table, name, text| text.line(name, &[], u8::from(table.is_isolated)),
    },
    Family {
        name: "faults_total",
        kind: Kind::Counter,
        help: "Checks that a fault of this machine has hidden, or delayed (descriptors).",
        lines: |table, name, text| {
            text.line(name, &[("fault", "descriptors")], table.program.delayed);
            for (fault, count) in &table.faults {
                text.line(name, &[("fault", fault)], count);
            }
        },
    },
    Family {
        name: "answers_lost_total",
        kind: Kind::Counter,
        help: "Answers that found the receive queue full.",
        lines: |table, name, text| text.line(name, &[], table.program.answers_lost),
    },
    Family {
        name: "events_lost_total",
        kind: Kind::Counter,
        help: "Events that were lost because their reader was slow.",
        lines: |table, name, text| text.line(name, &[], table.program.events_lost),
    },
    Family {
        name: "hook_failures_total",
        kind: Kind::Counter,
        help: "Runs of hooks that have failed.",
        lines: |table, name, text| text.line(name, &[], table.program.hook_failures),
    },
    Family {
        name: "schedule_lag_seconds",
        kind: Kind::Histogram,
        help: "How late checks began.",
        lines: |table, name, text| text.histogram(name, &[], &table.program.lags),
    },
    Family {
        name: "config_last_reload_successful",
        kind: Kind::Gauge,
        help: "Whether the newest reload of the configuration succeeded.",
        lines: |table, name, text| {
            let succeeded = table.program.reload.is_none_or(|(succeeded, _)| succeeded);
            text.line(name, &[], u8::from(succeeded));
        },
    },
    Family {
        name: "config_last_reload_success_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the configuration was last read with success.",
        lines: |table, name, text| {
            if let Some((_, time)) = table.program.reload {
                text.line(name, &[], time.as_second());
            }
        },
    },
    Family {
        name: "pool_up",
        kind: Kind::Gauge,
        help: "How many targets of the pool are up.",
        lines: |table, name, text| of_pools(table, name, |row| row.up, text),
    },
    Family {
        name: "pool_targets",
        kind: Kind::Gauge,
        help: "How many targets the pool has.",
        lines: |table, name, text| of_pools(table, name, |row| row.targets, text),
    },
    Family {
        name: "pool_fail_open",
        kind: Kind::Gauge,
        help: "1 while the pool advertises silent targets as up.",
        lines: |table, name, text| of_pools(table, name, |row| u32::from(row.fails_open), text),
    },
    Family {
        name: "round_trip_seconds",
        kind: Kind::Histogram,
        help: "Round-trip times of the targets of the pool.",
        lines: |table, name, text| {
            for (pool, row) in &table.pools {
                text.histogram(name, &[("pool", pool)], &row.round_trips);
            }
        },
    },
];

/// A family with lines for each target.
pub(super) struct TargetFamily {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) write: fn(&TargetRow, Line<'_>),
}

pub(super) const TARGETS: &[TargetFamily] = &[
    TargetFamily {
        name: "target_up",
        kind: Kind::Gauge,
        help: "Whether the target is up. There is no line while that is unknown.",
        write: |row, line| is_up(row.state, line),
    },
    TargetFamily {
        name: "target_advertised_up",
        kind: Kind::Gauge,
        help: "Whether load balancers are told that it is up. There is no line while that is unknown.",
        write: |row, line| is_up(row.advertised, line),
    },
    TargetFamily {
        name: "target_held",
        kind: Kind::Gauge,
        help: "1 while a fault of this machine hides the target: its state stands.",
        write: |row, line| line.end(u8::from(row.is_held)),
    },
    TargetFamily {
        name: "target_round_trip_seconds",
        kind: Kind::Gauge,
        help: "The newest round-trip time.",
        write: |row, line| {
            if let Some(time) = row.round_trip() {
                line.end(Seconds(time));
            }
        },
    },
    TargetFamily {
        name: "target_last_transition_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When its state changed last.",
        write: |row, line| {
            if let Some(time) = row.since() {
                line.end(time.as_second());
            }
        },
    },
    TargetFamily {
        name: "probes_total",
        kind: Kind::Counter,
        help: "Checks that have ended.",
        write: |row, line| line.end(row.checks()),
    },
    TargetFamily {
        name: "probe_failures_total",
        kind: Kind::Counter,
        help: "Checks that did not find the port open. Those that a fault of this machine hid do not count.",
        write: |row, line| line.end(row.failures()),
    },
    TargetFamily {
        name: "verdicts_total",
        kind: Kind::Counter,
        help: "Checks by the state of the port that they found.",
        write: |row, mut line| {
            for (state, count) in TargetRow::STATES.iter().zip(row.verdicts) {
                if count > 0 {
                    line.end_with("state", state, count);
                }
            }
        },
    },
    TargetFamily {
        name: "syns_total",
        kind: Kind::Counter,
        help: "SYNs that were sent.",
        write: |row, line| line.end(row.syns),
    },
    TargetFamily {
        name: "transitions_total",
        kind: Kind::Counter,
        help: "Changes of the state.",
        write: |row, line| line.end(row.transitions),
    },
];

/// A time in seconds, with the microseconds in which those of targets are kept.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

fn of_pools(table: &Table, name: &str, value: fn(&PoolRow) -> u32, text: &mut Text) {
    for (pool, row) in &table.pools {
        text.line(name, &[("pool", pool)], value(row));
    }
}

fn is_up(state: State, line: Line<'_>) {
    match state {
        State::Unknown => {}
        State::Up => line.end(1),
        State::Down => line.end(0),
    }
}

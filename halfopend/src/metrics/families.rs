//! The families of metrics.

use super::text::{Kind, Text};
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
        help: "Checks that a fault of this machine has hidden.",
        lines: |table, name, text| {
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
    pub(super) write: fn(&TargetRow, &str, &mut Text),
}

pub(super) const TARGETS: &[TargetFamily] = &[
    TargetFamily {
        name: "target_up",
        kind: Kind::Gauge,
        help: "Whether the target is up. There is no line while that is unknown.",
        write: |row, name, text| is_up(row, row.state, name, text),
    },
    TargetFamily {
        name: "target_advertised_up",
        kind: Kind::Gauge,
        help: "Whether load balancers are told that it is up. There is no line while that is unknown.",
        write: |row, name, text| is_up(row, row.advertised, name, text),
    },
    TargetFamily {
        name: "target_held",
        kind: Kind::Gauge,
        help: "1 while a fault of this machine hides the target: its state stands.",
        write: |row, name, text| of(row, name, u8::from(row.is_held), text),
    },
    TargetFamily {
        name: "target_round_trip_seconds",
        kind: Kind::Gauge,
        help: "The newest round-trip time.",
        write: |row, name, text| {
            if let Some(time) = row.round_trip() {
                of(row, name, time.as_secs_f64(), text);
            }
        },
    },
    TargetFamily {
        name: "target_last_transition_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When its state changed last.",
        write: |row, name, text| {
            if let Some(time) = row.since() {
                of(row, name, time.as_second(), text);
            }
        },
    },
    TargetFamily {
        name: "probes_total",
        kind: Kind::Counter,
        help: "Checks that have ended.",
        write: |row, name, text| of(row, name, row.checks(), text),
    },
    TargetFamily {
        name: "probe_failures_total",
        kind: Kind::Counter,
        help: "Checks that did not find the port open. Those that a fault of this machine hid do not count.",
        write: |row, name, text| of(row, name, row.failures(), text),
    },
    TargetFamily {
        name: "verdicts_total",
        kind: Kind::Counter,
        help: "Checks by the state of the port that they found.",
        write: |row, name, text| {
            for (state, count) in TargetRow::STATES.iter().zip(row.verdicts) {
                if count > 0 {
                    let state = state.to_string();
                    let labels =
                        [("pool", &*row.pool), ("target", &row.label()), ("state", &state)];
                    text.line(name, &labels, count);
                }
            }
        },
    },
    TargetFamily {
        name: "syns_total",
        kind: Kind::Counter,
        help: "SYNs that were sent.",
        write: |row, name, text| of(row, name, row.syns, text),
    },
    TargetFamily {
        name: "transitions_total",
        kind: Kind::Counter,
        help: "Changes of the state.",
        write: |row, name, text| of(row, name, row.transitions, text),
    },
];

fn of_pools(table: &Table, name: &str, value: fn(&PoolRow) -> u32, text: &mut Text) {
    for (pool, row) in &table.pools {
        text.line(name, &[("pool", pool)], value(row));
    }
}

fn of(row: &TargetRow, name: &str, value: impl std::fmt::Display, text: &mut Text) {
    text.line(name, &[("pool", &*row.pool), ("target", &row.label())], value);
}

fn is_up(row: &TargetRow, state: State, name: &str, text: &mut Text) {
    match state {
        State::Unknown => {}
        State::Up => of(row, name, 1, text),
        State::Down => of(row, name, 0, text),
    }
}

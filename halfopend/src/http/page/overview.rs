//! The counts of states, of all targets and of each pool.

use std::collections::HashMap;
use std::fmt::Write;

use super::html::grouped;
use crate::fleet::health::State;
use crate::live::{Table, TargetRow};

/// How many targets are in each state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) up: u32,
    pub(super) down: u32,
    pub(super) unknown: u32,
    /// Of all of these.
    pub(super) held: u32,
    /// Those that are not up, or held.
    pub(super) problems: u32,
}

impl Counts {
    pub(super) fn all(&self) -> u32 {
        self.up + self.down + self.unknown
    }

    fn add(&mut self, row: &TargetRow) {
        match row.state {
            State::Up => self.up += 1,
            State::Down => self.down += 1,
            State::Unknown => self.unknown += 1,
        }
        self.held += u32::from(row.is_held);
        self.problems += u32::from(row.is_problem());
    }
}

/// The counts of all targets, and of those of each pool.
pub(super) struct Overview<'a> {
    is_isolated: bool,
    fails_open: bool,
    counts: Counts,
    pools: HashMap<&'a str, Counts>,
}

impl<'a> Overview<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        let mut pools = HashMap::<_, Counts>::new();
        let mut counts = Counts::default();
        for (_, row) in table.targets() {
            counts.add(row);
            pools.entry(&*row.pool).or_default().add(row);
        }
        let fails_open = table.pools.values().any(|pool| pool.fails_open);
        Self { is_isolated: table.is_isolated, fails_open, counts, pools }
    }

    pub(super) fn of_pool(&self, name: &str) -> Counts {
        self.pools.get(name).copied().unwrap_or_default()
    }

    /// Returns the summary of it all.
    pub(super) fn title(&self) -> String {
        let Counts { problems, down, held, .. } = self.counts;
        let all = self.counts.all();
        match (self.is_isolated, problems, all) {
            (true, ..) => "Isolated: nothing answers".to_owned(),
            (_, _, 0) => "No targets".to_owned(),
            (_, 0, 1) => "The target is up".to_owned(),
            (_, 0, _) => format!("All {} targets are up", grouped(all)),
            (_, _, 1) => format!("The target is {}", if down == 1 { "down" } else { "not known" }),
            _ if down > 0 => format!("{} of {} targets down", grouped(down), grouped(all)),
            _ if held == problems => format!("{} of {} targets held", grouped(held), grouped(all)),
            _ => format!("{} of {} targets not known", grouped(problems), grouped(all)),
        }
    }

    /// Returns the class of the summary, and the colour of the icon.
    pub(super) fn class(&self) -> (&'static str, &'static str) {
        match self.counts {
            _ if self.is_isolated => ("isolated", "b8720a"),
            Counts { down: 1.., .. } => ("down", "c42b32"),
            Counts { problems: 1.., .. } => ("unknown", "7b8794"),
            _ if self.counts.all() == 0 => ("unknown", "7b8794"),
            _ => ("up", "1f8a52"),
        }
    }

    /// Writes how many targets are in which state.
    pub(super) fn counts(&self, out: &mut String) {
        let Counts { up, down, unknown, held, .. } = self.counts;
        out.push_str("<ul class=\"counts\" aria-label=\"Targets by state\">\n");
        for (class, name, count) in
            [("up", "up", up), ("down", "down", down), ("unknown", "unknown", unknown)]
        {
            let none = if count == 0 { " none" } else { "" };
            let count = grouped(count);
            let _ = writeln!(out, "<li class=\"{class}{none}\"><b>{count}</b> {name}</li>");
        }
        if held > 0 {
            let _ = writeln!(out, "<li class=\"held\"><b>{}</b> held</li>", grouped(held));
        }
        if self.fails_open {
            out.push_str("<li class=\"open\">fail open</li>\n");
        }
        out.push_str("</ul>\n");
    }
}

/// Writes what concerns all targets.
pub(super) fn banners(table: &Table, out: &mut String) {
    if table.is_isolated {
        out.push_str(
            "<p id=\"banner\" class=\"banner\"><strong>This machine is cut off.</strong> Nothing at all answers, \
             so this says nothing about the targets: all states stand until something \
             answers.</p>\n",
        );
    }
}

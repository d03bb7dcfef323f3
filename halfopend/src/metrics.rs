//! `/metrics`: the table in the formats of Prometheus.
//!
//! The answer is made in pieces: for 100,000 targets it has 72 MB. It is written by our own code
//! and not by a crate, because the families of targets are views of the table and not counters of
//! their own, and there are three formats.

mod encoder;
mod families;
mod format;
mod labels;
mod process;
mod protobuf;
mod text;
mod wire;

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use self::encoder::Encoder;
use self::families::{Metric, POOLS, PROGRAM, TARGETS};
pub use self::format::Format;
use self::labels::Labels;
use crate::live::Table;

/// How many pools or targets are in a piece.
const PIECE: usize = 500;

/// An answer to a scrape, piece by piece.
pub struct Exposition {
    format: Format,
    has_targets: bool,
    next: Next,
    labels: Labels,
}

/// The next piece.
enum Next {
    Program,
    /// The family with this index, from the pool after this one on.
    Pools(usize, Option<Arc<str>>),
    /// The family with this index, from the target with this id on.
    Targets(usize, usize),
    End,
}

impl Exposition {
    /// Begins an answer, with metrics of each target if `has_targets` is true.
    pub fn new(format: Format, has_targets: bool) -> Self {
        Self { format, has_targets, next: Next::Program, labels: Labels::new() }
    }

    /// Makes the answer take less memory and more time.
    #[must_use]
    pub fn in_little_memory(self) -> Self {
        Self { labels: Labels::not_kept(), ..self }
    }

    /// Returns the next piece, until there is none.
    pub fn next(&mut self, table: &Table) -> Option<Vec<u8>> {
        let mut encoder = self.format.encoder();
        let out = &mut *encoder;
        self.next = match std::mem::replace(&mut self.next, Next::End) {
            Next::Program => {
                for family in PROGRAM {
                    family.begin(out, false);
                    (family.write)(table, out);
                    out.end();
                }
                process::write(table.started, out);
                Next::Pools(0, None)
            }
            Next::Pools(index, before) => self.pools(index, before.as_deref(), table, out),
            Next::Targets(index, first) => self.targets(index, first, table, out),
            Next::End => return None,
        };
        Some(encoder.finish(matches!(self.next, Next::End)))
    }

    /// Writes a family of some pools, and returns what is next.
    fn pools(
        &self,
        index: usize,
        before: Option<&str>,
        table: &Table,
        out: &mut dyn Encoder,
    ) -> Next {
        let family = &POOLS[index];
        family.begin(out, before.is_some());
        let start = before.map_or(Unbounded, Excluded);
        let mut pools = table.pools.range::<str, _>((start, Unbounded));
        let mut last = None;
        for (pool, row) in pools.by_ref().take(PIECE) {
            let labels = &out.labels(&[("pool", pool)]);
            (family.write)(row, Metric { labels, encoder: out });
            last = Some(Arc::clone(pool));
        }
        out.end();
        if pools.next().is_some() {
            Next::Pools(index, last)
        } else if index + 1 < POOLS.len() {
            Next::Pools(index + 1, None)
        } else if self.has_targets {
            Next::Targets(0, 0)
        } else {
            Next::End
        }
    }

    /// Does the same with a family of some targets.
    fn targets(
        &mut self,
        index: usize,
        first: usize,
        table: &Table,
        out: &mut dyn Encoder,
    ) -> Next {
        let family = &TARGETS[index];
        family.begin(out, first > 0);
        let end = table.targets.len().min(first + PIECE);
        self.labels.follow(table.layout);
        for (id, row) in (first..).zip(&table.targets[first.min(end)..end]) {
            if let Some(row) = row {
                let labels = self.labels.of(id, row, out);
                (family.write)(row, Metric { labels, encoder: out });
            }
        }
        out.end();
        if end < table.targets.len() {
            Next::Targets(index, end)
        } else if index + 1 < TARGETS.len() {
            Next::Targets(index + 1, 0)
        } else {
            Next::End
        }
    }
}

#[cfg(test)]
mod tests;

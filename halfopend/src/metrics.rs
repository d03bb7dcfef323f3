//! `/metrics`: the table in the formats of Prometheus.
//!
//! The answer is made in pieces, because that of a hundred thousand targets has a hundred
//! megabytes. It is written by hand and not by a crate: families of targets are views of the table,
//! not counters of their own, and three formats are wanted.

mod encoder;
mod families;
mod format;
mod labels;
mod process;
mod protobuf;
mod text;
mod wire;

use self::families::{Metric, PROGRAM, TARGETS};
pub use self::format::Format;
use self::labels::Labels;
use crate::live::Table;

/// How many targets are in a piece.
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
    /// The family with this index, from the target with this id on.
    Targets(usize, usize),
    End,
}

impl Exposition {
    /// Begins an answer, with metrics of each target if `has_targets` is true.
    pub fn new(format: Format, has_targets: bool) -> Self {
        Self { format, has_targets, next: Next::Program, labels: Labels::new() }
    }

    /// Makes the answer take little memory, and more time.
    #[must_use]
    pub fn in_little_memory(self) -> Self {
        Self { labels: Labels::not_kept(), ..self }
    }

    /// Returns the next piece, until there is none.
    pub fn next(&mut self, table: &Table) -> Option<Vec<u8>> {
        let mut encoder = self.format.encoder();
        self.next = match self.next {
            Next::Program => {
                for family in PROGRAM {
                    family.begin(&mut *encoder, false);
                    (family.write)(table, &mut *encoder);
                    encoder.end();
                }
                process::write(table.started, &mut *encoder);
                if self.has_targets { Next::Targets(0, 0) } else { Next::End }
            }
            Next::Targets(index, first) => {
                let family = &TARGETS[index];
                family.begin(&mut *encoder, first > 0);
                let end = table.targets.len().min(first + PIECE);
                self.labels.follow(table.layout);
                for (id, row) in (first..).zip(&table.targets[first.min(end)..end]) {
                    if let Some(row) = row {
                        let labels = self.labels.of(id, row, &*encoder);
                        (family.write)(row, Metric { labels, encoder: &mut *encoder });
                    }
                }
                encoder.end();
                match (end < table.targets.len(), index + 1 < TARGETS.len()) {
                    (true, _) => Next::Targets(index, end),
                    (false, true) => Next::Targets(index + 1, 0),
                    (false, false) => Next::End,
                }
            }
            Next::End => return None,
        };
        Some(encoder.finish(matches!(self.next, Next::End)))
    }
}

#[cfg(test)]
mod tests;

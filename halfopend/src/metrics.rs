//! `/metrics`: the table in the text format of Prometheus.
//!
//! The text is made in pieces, because that of a hundred thousand targets has a hundred megabytes.
//! It is written by hand and not by a crate: families of targets are views of the table, not
//! counters of their own, and both the classic format and OpenMetrics are wanted.

mod families;
mod labels;
mod process;
mod text;

use self::families::{PROGRAM, TARGETS};
use self::labels::Labels;
use self::text::Text;
use crate::live::Table;

/// How many targets are in a piece.
const PIECE: usize = 500;

/// A format of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The classic text format, version 0.0.4.
    Classic,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Returns the better format that a client accepts by its header `Accept`.
    pub fn accepted_by(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// Returns the media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

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
    pub fn next(&mut self, table: &Table) -> Option<String> {
        let mut text = Text::new(self.format);
        self.next = match self.next {
            Next::Program => {
                for family in PROGRAM {
                    family.write(table, &mut text);
                }
                process::write(table.started, &mut text);
                if self.has_targets { Next::Targets(0, 0) } else { self.end(&mut text) }
            }
            Next::Targets(index, first) => {
                let family = &TARGETS[index];
                if first == 0 {
                    text.head(family.name, family.kind, family.help);
                }
                let end = table.targets.len().min(first + PIECE);
                self.labels.follow(table.layout);
                let mut lines = text.family(family.name);
                for (id, row) in (first..).zip(&table.targets[first.min(end)..end]) {
                    if let Some(row) = row {
                        (family.write)(row, lines.line(self.labels.of(id, row)));
                    }
                }
                match (end < table.targets.len(), index + 1 < TARGETS.len()) {
                    (true, _) => Next::Targets(index, end),
                    (false, true) => Next::Targets(index + 1, 0),
                    (false, false) => self.end(&mut text),
                }
            }
            Next::End => return None,
        };
        Some(text.into())
    }

    fn end(&self, text: &mut Text) -> Next {
        if self.format == Format::OpenMetrics {
            text.end();
        }
        Next::End
    }
}

#[cfg(test)]
mod tests;

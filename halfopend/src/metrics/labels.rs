//! The labels of targets, which each of their families repeats.

use super::text::escape;
use crate::live::TargetRow;

/// How many targets have their labels kept. More would take too much memory.
const KEPT: usize = 1 << 18;

/// The labels of targets as text, written once for all families of an answer.
pub(super) struct Labels {
    text: String,
    /// Where those of each target end, by id.
    ends: Vec<usize>,
    /// The layout of the table that they belong to.
    layout: Option<u64>,
    is_outdated: bool,
}

impl Labels {
    pub(super) fn new() -> Self {
        Self { text: String::new(), ends: Vec::new(), layout: None, is_outdated: false }
    }

    /// Returns labels that are written again for each family, which takes no memory.
    pub(super) fn not_kept() -> Self {
        Self { is_outdated: true, ..Self::new() }
    }

    /// Keeps no labels any more if the table has another layout than before. Targets may change
    /// while an answer is under way, and ids are used again.
    pub(super) fn follow(&mut self, layout: u64) {
        if *self.layout.get_or_insert(layout) != layout {
            self.is_outdated = true;
        }
    }

    /// Returns those of a target, from the opening brace on, without the closing one.
    pub(super) fn of(&mut self, id: usize, row: &TargetRow) -> &str {
        if self.is_outdated || id >= KEPT {
            // What is kept is lost, and not looked at any more.
            let start = if self.is_outdated { 0 } else { self.kept() };
            self.text.truncate(start);
            write(row, &mut self.text);
            return &self.text[start..];
        }
        if id >= self.ends.len() {
            let end = self.kept();
            self.text.truncate(end);
            self.ends.resize(id, end);
            write(row, &mut self.text);
            self.ends.push(self.text.len());
        }
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[id]]
    }

    fn kept(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }
}

fn write(row: &TargetRow, text: &mut String) {
    text.push_str("{pool=\"");
    escape(&row.pool, text);
    text.push_str("\",target=\"");
    escape(&row.label(), text);
    text.push('"');
}

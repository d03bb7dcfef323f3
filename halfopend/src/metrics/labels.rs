//! The labels of targets, which are repeated in each of their families.

use super::encoder::Encoder;
use crate::live::TargetRow;

/// How many targets have their labels kept. More would take too much memory.
const KEPT: usize = 1 << 18;

/// The labels of targets, encoded once for all families of an answer.
pub(super) struct Labels {
    bytes: Vec<u8>,
    /// Where those of each target end, by id.
    ends: Vec<usize>,
    /// The layout of the table that they belong to.
    layout: Option<u64>,
    is_outdated: bool,
}

impl Labels {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), layout: None, is_outdated: false }
    }

    /// Returns labels that are encoded again for each family, to save memory.
    pub(super) fn not_kept() -> Self {
        Self { is_outdated: true, ..Self::new() }
    }

    /// Stops keeping labels if the layout of the table has changed. Targets may change while an
    /// answer is under way, and ids are used again.
    pub(super) fn follow(&mut self, layout: u64) {
        if *self.layout.get_or_insert(layout) != layout {
            self.is_outdated = true;
        }
    }

    /// Returns the labels of a target.
    pub(super) fn of(&mut self, id: usize, row: &TargetRow, encoder: &dyn Encoder) -> &[u8] {
        if self.is_outdated || id >= KEPT {
            // This overwrites what is kept, which is no longer used.
            let start = if self.is_outdated { 0 } else { self.kept() };
            self.bytes.truncate(start);
            append(row, encoder, &mut self.bytes);
            return &self.bytes[start..];
        }
        if id >= self.ends.len() {
            let end = self.kept();
            self.bytes.truncate(end);
            self.ends.resize(id, end);
            append(row, encoder, &mut self.bytes);
            self.ends.push(self.bytes.len());
        }
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[id]]
    }

    fn kept(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }
}

fn append(row: &TargetRow, encoder: &dyn Encoder, bytes: &mut Vec<u8>) {
    encoder.append_label(("pool", &row.pool), bytes);
    encoder.append_label(("target", &row.label()), bytes);
}

//! What a table is told of events that were lost.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Table;
use crate::event::{Event, EventKind};

/// What lost events have told that a snapshot of all targets does not tell. However many are lost,
/// it has each id once.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    /// The targets that were removed. Their ids may be those of others now.
    removed: BTreeSet<u32>,
    /// Whether this machine is cut off, if that has changed.
    is_isolated: Option<bool>,
}

impl Lost {
    /// Adds what a lost event has told.
    pub(super) fn add(&mut self, event: &Event) {
        match (event.kind, &event.target) {
            (EventKind::Removed, Some(target)) => {
                self.removed.insert(target.id);
            }
            (EventKind::Isolated, None) => self.is_isolated = Some(true),
            (EventKind::Released, None) => self.is_isolated = Some(false),
            _ => {}
        }
    }

    /// Tells a table. What the snapshot shows that follows is not changed here.
    pub(super) fn tell(&self, table: &mut Table) {
        table.is_isolated = self.is_isolated.unwrap_or(table.is_isolated);
        for id in &self.removed {
            table.remove(*id);
        }
        let shown: HashSet<_> = table.targets().map(|(_, row)| Arc::clone(&row.pool)).collect();
        table.pools.retain(|name, _| shown.contains(name));
    }
}

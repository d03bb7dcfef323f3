//! How many checks can run at once. With the kernel's handshake, each takes a descriptor.

use std::collections::VecDeque;

use super::claims::Due;

/// Room that is kept free for cross-checks, but at most half. An answer to a cross-check that comes
/// too late proves nothing, and then dead targets would not go down.
const RESERVE: usize = 16;

/// How many checks run, how many can, and which wait until they can.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    /// The engines by their index. One that is not listed has no limit.
    engines: Vec<Engine>,
    /// How many checks have waited so far.
    delayed: u64,
}

#[derive(Debug)]
struct Engine {
    most: usize,
    running: usize,
    waiting: VecDeque<Due>,
}

impl Engine {
    fn has_room(&self) -> bool {
        self.running < self.most - RESERVE.min(self.most / 2)
    }
}

impl Capacity {
    /// Creates the capacity of engines, each of which can run this many checks at once.
    pub(super) fn new(capacities: &[usize]) -> Self {
        let engine = |most: &usize| {
            let (most, running, waiting) = ((*most).max(1), 0, VecDeque::new());
            Engine { most, running, waiting }
        };
        Self { engines: capacities.iter().map(engine).collect(), delayed: 0 }
    }

    /// Returns how many checks have waited so far.
    pub(super) fn delayed(&self) -> u64 {
        self.delayed
    }

    /// Returns true if a regular check may begin.
    pub(super) fn has_room(&self, engine: usize) -> bool {
        self.engines.get(engine).is_none_or(Engine::has_room)
    }

    /// Returns true if a check on demand may begin: there is room, and no other check waits for it.
    pub(super) fn has_spare_room(&self, engine: usize) -> bool {
        self.engines.get(engine).is_none_or(|engine| engine.has_room() && engine.waiting.is_empty())
    }

    /// Returns true if a cross-check may begin.
    pub(super) fn has_reserve(&self, engine: usize) -> bool {
        self.engines.get(engine).is_none_or(|engine| engine.running < engine.most)
    }

    /// Records that a check begins.
    pub(super) fn take(&mut self, engine: usize) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.running += 1;
        }
    }

    /// Records that a check has ended.
    pub(super) fn release(&mut self, engine: usize) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.running -= 1;
        }
    }

    /// Lets a check wait for room.
    pub(super) fn wait(&mut self, engine: usize, due: Due) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.waiting.push_back(due);
            self.delayed += 1;
        }
    }

    /// Records that the check of the target `id` no longer waits.
    pub(super) fn forget(&mut self, engine: usize, id: u32) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.waiting.retain(|due| due.id != id);
        }
    }

    /// Removes and returns the next waiting check, if it may begin now.
    pub(super) fn poll(&mut self) -> Option<Due> {
        let mut engines = self.engines.iter_mut().filter(|engine| engine.has_room());
        engines.find_map(|engine| engine.waiting.pop_front())
    }
}

#[cfg(test)]
impl Capacity {
    pub(super) fn running(&self, engine: usize) -> usize {
        self.engines[engine].running
    }
}

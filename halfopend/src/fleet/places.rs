//! How many checks can run at once. With the kernel's handshake, each takes a descriptor.

use std::collections::VecDeque;

use super::claims::Due;

/// How many places are kept free for cross-checks, or half of them if there are few: an answer that
/// comes too late is none, and then the dead would never be down.
const RESERVE: usize = 16;

/// The places for checks.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Those of each engine; any number, if it is missing here.
    engines: Vec<Engine>,
    /// How many checks have waited for a place.
    delayed: u64,
}

#[derive(Debug)]
struct Engine {
    places: usize,
    taken: usize,
    waiting: VecDeque<Due>,
}

impl Engine {
    fn has_room(&self) -> bool {
        self.taken < self.places - RESERVE.min(self.places / 2)
    }
}

impl Places {
    /// Creates the places of engines that can run so many checks at once.
    pub(super) fn new(places: &[usize]) -> Self {
        let engine = |places: &usize| Engine {
            places: (*places).max(1),
            taken: 0,
            waiting: VecDeque::new(),
        };
        Self { engines: places.iter().map(engine).collect(), delayed: 0 }
    }

    /// Returns how many checks have waited for a place so far.
    pub(super) fn delayed(&self) -> u64 {
        self.delayed
    }

    /// Returns true if a check may begin that is no cross-check.
    pub(super) fn have_room(&self, engine: usize) -> bool {
        self.engines.get(engine).is_none_or(Engine::has_room)
    }

    /// Returns true if a check on demand may begin: no other check waits for a place.
    pub(super) fn have_spare(&self, engine: usize) -> bool {
        self.engines.get(engine).is_none_or(|engine| engine.has_room() && engine.waiting.is_empty())
    }

    /// Returns true if a cross-check may begin.
    pub(super) fn have_reserve(&self, engine: usize) -> bool {
        self.engines.get(engine).is_none_or(|engine| engine.taken < engine.places)
    }

    /// Takes a place.
    pub(super) fn take(&mut self, engine: usize) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.taken += 1;
        }
    }

    /// Gives one back.
    pub(super) fn release(&mut self, engine: usize) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.taken -= 1;
        }
    }

    /// Lets a check wait for a place.
    pub(super) fn wait(&mut self, engine: usize, due: Due) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.waiting.push_back(due);
            self.delayed += 1;
        }
    }

    /// Takes in that the check of the target `id` does not wait any more.
    pub(super) fn forget(&mut self, engine: usize, id: u32) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.waiting.retain(|due| due.id != id);
        }
    }

    /// Removes and returns the next check that has waited, and may begin now.
    pub(super) fn poll(&mut self) -> Option<Due> {
        let mut engines = self.engines.iter_mut().filter(|engine| engine.has_room());
        engines.find_map(|engine| engine.waiting.pop_front())
    }
}

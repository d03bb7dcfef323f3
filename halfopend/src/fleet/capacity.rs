//! How many checks can run at once. With the kernel's handshake, each takes a descriptor.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

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
    waiting: Queue,
}

/// Checks in the order in which they came, at most one of each target.
#[derive(Debug, Default)]
struct Queue {
    /// By numbers that grow.
    checks: BTreeMap<u64, Due>,
    /// The number of each target's check.
    numbers: HashMap<u32, u64, RandomState>,
    count: u64,
}

impl Queue {
    fn push(&mut self, due: Due) {
        self.count += 1;
        self.remove(due.id);
        self.numbers.insert(due.id, self.count);
        self.checks.insert(self.count, due);
    }

    fn pop(&mut self) -> Option<Due> {
        let (_, due) = self.checks.pop_first()?;
        self.numbers.remove(&due.id);
        Some(due)
    }

    fn remove(&mut self, id: u32) {
        if let Some(number) = self.numbers.remove(&id) {
            self.checks.remove(&number);
        }
    }
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
            let (most, running, waiting) = ((*most).max(1), 0, Queue::default());
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
        self.engines
            .get(engine)
            .is_none_or(|engine| engine.has_room() && engine.waiting.checks.is_empty())
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
            engine.waiting.push(due);
            self.delayed += 1;
        }
    }

    /// Records that the check of the target `id` no longer waits.
    pub(super) fn forget(&mut self, engine: usize, id: u32) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.waiting.remove(id);
        }
    }

    /// Removes and returns the next waiting check, if it may begin now.
    pub(super) fn poll(&mut self) -> Option<Due> {
        let mut engines = self.engines.iter_mut().filter(|engine| engine.has_room());
        engines.find_map(|engine| engine.waiting.pop())
    }
}

#[cfg(test)]
impl Capacity {
    pub(super) fn running(&self, engine: usize) -> usize {
        self.engines[engine].running
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::fleet::scheduler::Lane;

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u32),
        Forget(u32),
        Poll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12u32).prop_map(Step::Wait),
            2 => (0..12u32).prop_map(Step::Forget),
            1 => Just(Step::Poll),
        ]
    }

    fn due(id: u32) -> Due {
        Due { id, lane: Lane::Steady, at: Duration::ZERO, is_cross_check: false }
    }

    proptest! {
        /// The model is a list. A target that is forgotten may come back, as another with its id.
        #[test]
        fn checks_wait_in_order_until_they_begin_or_are_forgotten(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut capacity = Capacity::new(&[4]);
            let mut list: Vec<u32> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(id) if list.contains(&id) => {}
                    Step::Wait(id) => {
                        capacity.wait(0, due(id));
                        list.push(id);
                    }
                    Step::Forget(id) => {
                        capacity.forget(0, id);
                        list.retain(|other| *other != id);
                    }
                    Step::Poll => {
                        let first = (!list.is_empty()).then(|| list.remove(0));
                        prop_assert_eq!(capacity.poll().map(|due| due.id), first);
                    }
                }
                prop_assert_eq!(capacity.has_spare_room(0), list.is_empty());
            }
        }
    }
}

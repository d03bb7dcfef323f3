//! The loop: moves segments between a [`Checker`] and an [`Engine`] until every target has ended.

use std::time::Duration;

use crate::checker::{Arrival, Checker, Try};
use crate::engine::Engine;
use crate::fault::{Fault, Refusal};
use crate::probe::Ignored;
use crate::verdict::Outcome;
use crate::wire::Segment;

/// Something that crossed between us and the network, for those who want to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    /// A segment that left.
    Sent(Segment),
    /// Something that arrived, and why it proves nothing where it does not.
    Received(Arrival, Result<(), Ignored>),
}

/// Who is told what happens, and when, as it happens.
pub trait Watcher {
    /// The target of this index has ended.
    fn ended(&mut self, target: usize, outcome: Outcome);

    /// A packet has crossed at `at`.
    fn crossed(&mut self, at: Duration, crossing: Crossing);
}

/// How often what has arrived after the last verdict is looked for: enough for any crowd of late answers, and an end to
/// any flood.
const LAST_LOOKS: usize = 64;

/// Runs `checker` over `engine` until every target has ended. Answers that have arrived by then are still taken in, so
/// that no SYN+ACK among them goes without its RST.
pub fn run(
    checker: &mut Checker,
    engine: &mut impl Engine,
    watcher: &mut impl Watcher,
) -> Result<(), Fault> {
    let mut arrivals = Vec::new();
    let mut last_looks = 0;
    loop {
        while let Some(this) = checker.poll_try(engine.now()) {
            if let Err(refusal) = launch(checker, engine, watcher, this) {
                checker.refused(this, refusal, engine.now());
            }
        }
        while let Some((target, outcome)) = checker.poll_outcome() {
            watcher.ended(target, outcome);
        }
        let deadline = checker.next_deadline();
        engine.receive(deadline.unwrap_or_default(), &mut arrivals)?;
        if deadline.is_none() {
            last_looks += 1;
            if arrivals.is_empty() || last_looks > LAST_LOOKS {
                return Ok(());
            }
        }
        for (at, arrival) in arrivals.drain(..) {
            let handled = checker.handle(&arrival, at);
            watcher.crossed(at, Crossing::Received(arrival, handled));
        }
        while let Some(reset) = checker.poll_reset() {
            // A lost RST is asked for again by the server's next SYN+ACK.
            if engine.send(&reset).is_ok() {
                watcher.crossed(engine.now(), Crossing::Sent(reset));
            }
        }
    }
}

fn launch(
    checker: &mut Checker,
    engine: &mut impl Engine,
    watcher: &mut impl Watcher,
    this: Try,
) -> Result<(), Refusal> {
    let local = engine.local_endpoint(this.remote, this.number)?;
    let syn = checker.syn(local, this.remote);
    let at = engine.now();
    engine.send(&syn).map_err(Refusal::Fault)?;
    checker.sent(this, local, at);
    watcher.crossed(at, Crossing::Sent(syn));
    Ok(())
}

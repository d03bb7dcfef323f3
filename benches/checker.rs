//! Runs pools through the pure checker over a simulated network, to count its instructions per
//! target.
//!
//! `checker [open|closed|silent [TARGETS]]`, by default all three; `scripts/bench checker`
//! counts.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::checker::{Checker, Ended};
use halfopen::engine::{Interrupt, SimulatedEngine};
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::pacer::Pacer;
use halfopen::probe::Secret;
use halfopen::schedule::Schedule;
use halfopen::verdict::{PortState, Verdict};
use halfopen::wire::{Flags, Options, Segment};

const TARGETS: u32 = 100_000;
const RETRIES: u8 = 2;
const TIMEOUT: Duration = Duration::from_mins(1);
const WINDOW: usize = 1 << 15;
const ROUND_TRIP: Duration = Duration::from_millis(1);

fn main() {
    let words: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let targets = words.get(1).map_or(TARGETS, |count| count.parse().expect("a number of targets"));
    for (name, flags, state) in [
        ("open", Some(Flags::SYN | Flags::ACK), PortState::Open),
        ("closed", Some(Flags::RST | Flags::ACK), PortState::Closed),
        ("silent", None, PortState::Filtered),
    ] {
        if words.first().is_none_or(|word| word == name) {
            let ended = check(targets, flags, state);
            assert_eq!(ended, targets, "targets that are {state}");
        }
    }
}

/// Checks `targets` endpoints that all answer with `flags`, if at all; returns how many ended in
/// `state`.
fn check(targets: u32, flags: Option<Flags>, state: PortState) -> u32 {
    let network = |_now: Duration, segment: &Segment| {
        let flags = flags.filter(|_| segment.flags == Flags::SYN);
        flags.map(|flags| (ROUND_TRIP, answer(segment, flags))).into_iter().collect()
    };
    let mut engine = SimulatedEngine::new(network);
    let attempts = Attempts::with_retries(RETRIES).expect("few");
    let mut checker = Checker::new(Secret::new([7; 16]), attempts);
    let schedule = Schedule::fit(attempts, TIMEOUT);
    let mut pool = Pool { left: 0..targets, schedule, state, ended: 0 };
    run(&mut checker, &mut engine, &mut Pacer::new(0, WINDOW), &mut pool, None, Some(TIMEOUT))
        .expect("the simulated network has no faults");
    pool.ended
}

fn answer(syn: &Segment, flags: Flags) -> Event {
    let segment = Segment {
        source: syn.destination,
        destination: syn.source,
        sequence: syn.sequence,
        acknowledgement: syn.sequence + 1,
        flags,
        window: 64240,
        options: Options::default(),
    };
    Event::Segment { segment, hop_limit: 64, reset_by_kernel: false }
}

/// Supplies endpoints from 198.18.0.1 upwards, and counts how they end.
struct Pool {
    left: std::ops::Range<u32>,
    schedule: Schedule,
    state: PortState,
    ended: u32,
}

impl Driver for Pool {
    fn next(&mut self, _now: Duration) -> Next {
        self.left.next().map_or(Next::Nothing, |number| {
            let address = Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 1).to_bits() + number);
            Next::Target(number, SocketAddr::from((address, 80)))
        })
    }

    fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
        self.schedule
    }

    fn ended(&mut self, ended: Ended) {
        let state = ended.outcome.as_ref().ok().map(Verdict::state);
        self.ended += u32::from(state == Some(self.state));
    }

    fn flush(&mut self) {}

    fn on_packet(&mut self, _at: Duration, _crossing: &PacketEvent) {}

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, _now: Duration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

//! What decides about a target, derived from the packets alone.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::event::Event;
use halfopen::event_loop::PacketEvent;
use halfopen::verdict::PortState;
use halfopen::wire::{Flags, Segment};

use super::{MOST_SYNS, TRIES};
use crate::network::{Run, millis, secs};

/// How long the last attempt is waited for.
const LAST_WAIT: Duration = secs(4);

/// Attempts that fail within this time of each other have failed together.
const TOGETHER: Duration = millis(100);

/// The state that a target must end with, and the time since the SYN if an answer to it decides.
pub(super) struct Decisive {
    pub(super) state: PortState,
    pub(super) round_trip: Option<Duration>,
}

/// Returns what came first for this target, before the wait for its last attempt was over: a final
/// answer, or the failure of the last attempt that was left, unless the last attempt is due once
/// more. It is derived from the packets alone, in order.
pub(super) fn first_decisive(run: &Run, remote: SocketAddr) -> Option<Decisive> {
    let mut syns: Vec<(Duration, Segment)> = Vec::new();
    let mut failures = Failures::default();
    let most = run.syns().iter().filter(|(_, syn)| syn.destination == remote).count().max(TRIES);
    for (at, packet) in &run.packets {
        let over = syns.get(TRIES - 1).map_or(Duration::MAX, |(last, _)| *last + LAST_WAIT);
        let arrival = match packet {
            _ if *at > over => break,
            PacketEvent::Sent(syn) if syn.flags == Flags::SYN && syn.destination == remote => {
                syns.push((*at, *syn));
                continue;
            }
            PacketEvent::Received(arrival, _) => arrival,
            PacketEvent::Sent(_) | PacketEvent::SentByKernel { .. } => continue,
        };
        let (from, to, number) = match arrival {
            Event::Segment { segment, .. } => {
                (segment.source, segment.destination.port(), segment.acknowledgement)
            }
            Event::Icmp(_, quote) => (quote.remote, quote.local_port, quote.sequence + 1),
            _ => continue, // no answer to a SYN
        };
        let is_answered =
            |syn: &Segment| (remote, syn.source.port(), syn.sequence + 1) == (from, to, number);
        let answered: Vec<_> = (0..syns.len()).filter(|n| is_answered(&syns[*n].1)).collect();
        let Some(first) = answered.first() else { continue };
        if let Some(state) = final_state(arrival) {
            let round_trip = at.checked_sub(syns[*first].0).filter(|_| answered.len() == 1);
            return Some(Decisive { state, round_trip });
        }
        if matches!(arrival, Event::Icmp(..)) && failures.add(&answered, &syns, most, *at) {
            return Some(Decisive { state: PortState::Unreachable, round_trip: None });
        }
    }
    None
}

/// The attempts at a target that have failed.
#[derive(Default)]
struct Failures {
    of: [bool; MOST_SYNS],
    newest: Option<Duration>,
}

impl Failures {
    /// Records an ICMP error at `now` about a SYN that was sent in these attempts. The first error
    /// about a SYN that was sent twice is about the first one, another error about the second.
    /// Returns true if it was the last of `most` attempts to fail. If it has failed together with
    /// another, it is made once more.
    fn add(
        &mut self,
        attempts: &[usize],
        syns: &[(Duration, Segment)],
        most: usize,
        now: Duration,
    ) -> bool {
        let Some(fails) = attempts.iter().find(|number| !self.of[**number]) else { return false };
        self.of[*fails] = true;
        let (last_syn, _) = syns[syns.len() - 1];
        let before = self.newest.replace(now).filter(|before| *before > last_syn);
        let have_failed_together = before.is_some_and(|before| now < before + TOGETHER);
        let is_made_once_more = have_failed_together && syns.len() == TRIES;
        self.of[..most].iter().all(|failed| *failed) && !is_made_once_more
    }
}

fn final_state(arrival: &Event) -> Option<PortState> {
    match arrival {
        Event::Segment { segment, .. } => match segment.flags.0 & 0x17 {
            0x12 => Some(PortState::Open),
            0x14 | 0x15 => Some(PortState::Closed),
            _ => None,
        },
        Event::Icmp(error, _) => match error.name {
            "port unreachable" => Some(PortState::Closed),
            name if name.contains("prohibited") => Some(PortState::Filtered),
            _ => None,
        },
        Event::EchoReply { .. }
        | Event::Handshake { .. }
        | Event::SegmentsLost(_)
        | Event::WrongChecksum { .. } => None,
    }
}

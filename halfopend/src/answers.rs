//! Which answers prove that the network works.

use std::net::SocketAddr;

use halfopen::event::{Event, HandshakeEnd};
use halfopen::wire::Origin;

/// Returns true if an event proves that the network reaches this machine: it comes from another
/// one.
pub fn is_from_the_network(event: &Event) -> bool {
    let is_from_elsewhere = |local: SocketAddr, remote: SocketAddr| {
        local.ip() != remote.ip() && !remote.ip().is_loopback()
    };
    match event {
        Event::Segment { segment, .. } => is_from_elsewhere(segment.destination, segment.source),
        Event::Icmp(error, _) => error.origin == Origin::Network,
        Event::Handshake { local, remote, end, .. } => {
            let answered = match end {
                HandshakeEnd::Completed | HandshakeEnd::Refused => true,
                HandshakeEnd::Failed(error) => error.origin == Origin::Network,
                HandshakeEnd::Aborted | HandshakeEnd::GivenUp => false,
            };
            answered && is_from_elsewhere(*local, *remote)
        }
        Event::WrongChecksum { .. } | Event::EchoReply { .. } | Event::SegmentsLost(_) => false,
    }
}

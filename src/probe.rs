//! SYNs, and the segments that answer them.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use siphasher::sip::SipHasher13;

use crate::wire::{Flags, Options, Segment, SequenceNumber};

/// A SYN from `local` to `remote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The source address and the source port, which is reserved.
    pub local: SocketAddr,
    /// The target.
    pub remote: SocketAddr,
    /// The sequence number, which is known only to those who have seen the SYN.
    pub sequence: SequenceNumber,
}

impl Probe {
    /// Returns the probe between these endpoints whose sequence number was chosen at `clock`, RFC
    /// 6528's M. Only M need be stored: `secret` makes the same F of the endpoints every time.
    pub fn new(secret: &Secret, local: SocketAddr, remote: SocketAddr, clock: u32) -> Self {
        Self { local, remote, sequence: secret.offset(local, remote) + clock }
    }

    /// Returns the SYN. It has the options and the window of an ordinary stack, because networks
    /// drop unusual ones; but no timestamps, by which PAWS would reject it in TIME-WAIT, no ECN and
    /// no Fast Open cookie.
    pub fn syn(&self) -> Segment {
        let max_segment_size = if self.remote.is_ipv4() { 1460 } else { 1440 };
        Segment {
            source: self.local,
            destination: self.remote,
            sequence: self.sequence,
            acknowledgement: SequenceNumber(0),
            flags: Flags::SYN,
            window: 64240,
            options: Options {
                max_segment_size: Some(max_segment_size),
                window_scale: Some(7),
                sack_permitted: true,
            },
        }
    }

    /// Returns true if the acknowledgement number is that of this SYN.
    pub fn is_acknowledged_by(&self, segment: &Segment) -> bool {
        segment.acknowledgement == self.sequence + 1
    }
}

/// Returns the RST that aborts the handshake of `answer` (RFC 9293 §3.5.2): the sequence number is
/// the acknowledgement number of the answer, and the window is 0. It has no ACK, which could
/// complete a SYN-cookie handshake on some stacks.
pub fn rst(answer: &Segment) -> Segment {
    Segment {
        source: answer.destination,
        destination: answer.source,
        sequence: answer.acknowledgement,
        acknowledgement: SequenceNumber(0),
        flags: Flags::RST,
        window: 0,
        options: Options::default(),
    }
}

/// What a segment that belongs to a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// SYN+ACK acknowledging our SYN.
    SynAck,
    /// RST+ACK acknowledging our SYN.
    RstAck,
    /// An ACK of something else: a challenge ACK (RFC 5961 §4) or a duplicate of an old connection.
    /// Proven by the endpoints alone.
    BareAck,
    /// SYN+ACK acknowledging something else. Equipment on the way sends it to see whether an RST
    /// follows ("safe reset"), and then lets the next SYN pass. Proven by the endpoints alone.
    WrongSynAck,
}

impl Answer {
    /// Returns what `segment` says. It went from a target to one of our source ports; `ours` is
    /// true if it acknowledges a SYN of ours.
    ///
    /// # Errors
    ///
    /// Returns why the segment is discarded if it proves nothing.
    pub fn read(segment: &Segment, ours: bool) -> Result<Self, DiscardReason> {
        let has = |flags| segment.flags.contains(flags);
        if has(Flags::SYN) && segment.flags.intersects(Flags::RST | Flags::FIN) {
            return Err(DiscardReason::ImpossibleFlags);
        }
        if !has(Flags::ACK) {
            return Err(if has(Flags::RST) {
                DiscardReason::BareReset
            } else if has(Flags::SYN) {
                DiscardReason::BareSyn
            } else {
                DiscardReason::ImpossibleFlags
            });
        }
        if has(Flags::SYN) {
            Ok(if ours { Self::SynAck } else { Self::WrongSynAck })
        } else if has(Flags::RST) {
            if ours { Ok(Self::RstAck) } else { Err(DiscardReason::WrongAcknowledgement) }
        } else if has(Flags::FIN) {
            Err(DiscardReason::OldConnection)
        } else {
            Ok(Self::BareAck)
        }
    }
}

/// Why a segment or an ICMP error is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum DiscardReason {
    /// No SYN of ours has these endpoints.
    #[error("not an answer to a SYN of ours")]
    NotOurs,
    /// RST+ACK for a sequence number that we did not send.
    #[error("wrong acknowledgement")]
    WrongAcknowledgement,
    /// RST without ACK: anyone can send it.
    #[error("RST without ACK")]
    BareReset,
    /// SYN without ACK.
    #[error("SYN without ACK")]
    BareSyn,
    /// SYN with RST or FIN, or neither SYN, ACK nor RST.
    #[error("impossible flags")]
    ImpossibleFlags,
    /// FIN+ACK: the end of a connection that is not ours.
    #[error("end of an old connection")]
    OldConnection,
    /// The segment was changed on its way.
    #[error("wrong checksum")]
    WrongChecksum,
    /// An ICMP error that does not quote a SYN of ours.
    #[error("ICMP error about another segment")]
    IcmpNotOurs,
}

/// The secret key of RFC 6528, which makes sequence numbers unpredictable.
#[derive(Clone)]
pub struct Secret(SipHasher13);

impl Secret {
    /// Creates a secret from 128 bits that nobody else knows.
    pub fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// Returns the M that a SYN from the endpoint that `answer` went to must have had, if `answer`
    /// acknowledges it.
    pub fn clock_acknowledged_by(&self, answer: &Segment) -> u32 {
        let SequenceNumber(offset) = self.offset(answer.destination, answer.source) + 1;
        answer.acknowledgement.0.wrapping_sub(offset)
    }

    /// Returns a hash that nobody else can steer into collisions.
    pub fn hash(&self, value: impl Hash) -> u64 {
        let mut hasher = self.0;
        value.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns F of RFC 6528, a keyed hash of both endpoints.
    fn offset(&self, local: SocketAddr, remote: SocketAddr) -> SequenceNumber {
        let [a, b, c, d, ..] = self.hash((local, remote)).to_le_bytes();
        SequenceNumber(u32::from_le_bytes([a, b, c, d]))
    }
}

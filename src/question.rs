//! Questions that find out why a port is not open, as the explainer asks them and engines send
//! them.

use std::net::SocketAddr;

use crate::attempt::SourcePort;
use crate::probe::Probe;
use crate::wire::{Flags, Options, Segment, SequenceNumber};

/// A packet to a target's host that calls for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub kind: QuestionKind,
    /// The id of the target that it is about. It leaves like the SYNs to that target.
    pub id: u32,
    /// The endpoint that is asked. The port of an echo request means nothing.
    pub remote: SocketAddr,
    /// The source port of a segment.
    pub source: SourcePort,
    /// The hop limit that it leaves with; `None` for that of a SYN.
    pub hop_limit: Option<u8>,
    /// A number that nobody else knows, by which the answer is recognised.
    pub number: u32,
}

/// The kind of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionKind {
    /// A SYN.
    Syn,
    /// An ACK of nothing. A closed port answers it with an RST, and so does a listening one,
    /// however full its queue is (RFC 9293 §3.10.7.1 and §3.10.7.2).
    Ack,
    /// An ICMP echo request (RFC 792, RFC 4443 §4.1).
    Echo,
}

/// Why a question could not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotAsk {
    /// Not this one, or not now.
    ThisOne,
    /// None of its kind can, and why.
    Kind(String),
}

impl Question {
    /// Returns the segment that asks it from `local`.
    pub fn segment(&self, local: SocketAddr) -> Segment {
        let number = SequenceNumber(self.number);
        match self.kind {
            QuestionKind::Ack => Segment {
                source: local,
                destination: self.remote,
                sequence: number,
                acknowledgement: number,
                flags: Flags::ACK,
                window: 1024,
                options: Options::default(),
            },
            QuestionKind::Syn | QuestionKind::Echo => {
                Probe { local, remote: self.remote, sequence: number }.syn()
            }
        }
    }

    /// Returns true if `answer` acknowledges this question, given that it comes from the endpoint
    /// that was asked and went to the one that asked.
    pub fn is_answered_by(&self, answer: &Segment) -> bool {
        let has = |flags| answer.flags.contains(flags);
        match self.kind {
            // RFC 9293 §3.10.7.1: <SEQ=SEG.ACK><CTL=RST>.
            QuestionKind::Ack => {
                has(Flags::RST) && !has(Flags::ACK) && answer.sequence.0 == self.number
            }
            QuestionKind::Syn => {
                has(Flags::ACK)
                    && answer.flags.intersects(Flags::SYN | Flags::RST)
                    && answer.acknowledgement == SequenceNumber(self.number) + 1
            }
            QuestionKind::Echo => false,
        }
    }
}

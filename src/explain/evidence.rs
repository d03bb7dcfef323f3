//! What is known about a target that is not open, beside its verdict.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::question::{Question, QuestionKind};
use crate::surroundings::Surroundings;
use crate::verdict::{Outcome, Reason};
use crate::wire::{IcmpError, Meaning};

/// What is known about a target.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The target.
    pub remote: SocketAddr,
    /// How it ended; `None` while it has answered nothing and its last timeout is running.
    pub outcome: Option<Outcome>,
    /// The segment that decided, if one did.
    pub answer: Option<Answered>,
    /// The questions that were asked, in order.
    pub asked: Vec<Asked>,
    /// The kinds of questions that the engine cannot ask, and why.
    pub cannot_ask: Vec<(QuestionKind, String)>,
    /// How many segments came from the target with a wrong checksum.
    pub damaged: usize,
    /// Another endpoint that has answered a SYN to the target.
    pub answered_from: Option<SocketAddr>,
    /// What this machine's kernel knows.
    pub surroundings: Surroundings,
}

/// What is of interest in a segment that answers a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The time to live or hop limit that it arrived with.
    pub hop_limit: u8,
    /// SEG.WND as in the header.
    pub window: u16,
}

/// A question that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// When it left.
    pub at: Duration,
    /// The endpoint that it left from; `None` for an echo request.
    pub local: Option<SocketAddr>,
    /// The answer, if there was one.
    pub reply: Option<Reply>,
}

/// An answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The time from the question to the answer.
    pub after: Duration,
    /// The time to live or hop limit that it arrived with; `None` if that is not known.
    pub hop_limit: Option<u8>,
    /// What it is.
    pub kind: ReplyKind,
}

/// The kind of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// An RST.
    Reset,
    /// A SYN+ACK.
    SynAck,
    /// An echo reply.
    Echo,
    /// An ICMP error.
    Icmp(IcmpError),
}

/// What a question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whether an ACK passes to the port.
    Ack,
    /// Whether another port of the host answers.
    OtherPort,
    /// Whether the host answers an echo request.
    Echo,
    /// How far a SYN to the port comes.
    Limited,
}

impl Asked {
    pub(super) fn purpose(&self, target: SocketAddr) -> Purpose {
        match self.question.kind {
            QuestionKind::Echo => Purpose::Echo,
            _ if self.question.remote != target => Purpose::OtherPort,
            QuestionKind::Ack => Purpose::Ack,
            QuestionKind::Syn => Purpose::Limited,
        }
    }
}

impl Reply {
    /// Returns true if it comes from the address that was asked, as far as that can be seen.
    pub(super) fn is_of_host(&self) -> bool {
        !matches!(self.kind, ReplyKind::Icmp(_))
    }

    /// Returns true if it comes from a router at which the question's hop limit was used up.
    pub(super) fn is_of_router(&self) -> bool {
        matches!(self.kind, ReplyKind::Icmp(error) if error.meaning == Meaning::HopsExceeded)
    }

    /// Returns how many routers the answer passed.
    pub(super) fn hops(&self) -> Option<u8> {
        self.hop_limit.and_then(hops)
    }
}

/// What the verdict is about, as far as its cause is concerned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Situation {
    /// Nothing has answered.
    Silent,
    /// A segment refused the connection after this many routers.
    Refused(Option<u8>),
    /// A SYN+ACK came, after this many routers, with this window.
    Open(Option<u8>, Option<u16>),
    /// An ICMP error came.
    Icmp(IcmpError),
    /// Something else, which explains itself.
    Other(Reason),
    /// There is no verdict.
    None,
}

impl Evidence {
    /// Creates the evidence about `remote` before anything is known.
    pub fn new(remote: SocketAddr, surroundings: Surroundings) -> Self {
        Self {
            remote,
            outcome: None,
            answer: None,
            asked: Vec::new(),
            cannot_ask: Vec::new(),
            damaged: 0,
            answered_from: None,
            surroundings,
        }
    }

    pub(super) fn situation(&self) -> Situation {
        let answer_hops = self.answer.and_then(|answer| hops(answer.hop_limit));
        let Some(outcome) = &self.outcome else { return Situation::Silent };
        let Ok(verdict) = outcome else { return Situation::None };
        match &verdict.reason {
            Reason::NoAnswer { .. } => Situation::Silent,
            Reason::RstAck => Situation::Refused(answer_hops),
            Reason::SynAck => Situation::Open(answer_hops, self.answer.map(|answer| answer.window)),
            Reason::Icmp(error) => Situation::Icmp(*error),
            other => Situation::Other(other.clone()),
        }
    }

    /// Returns the questions for that purpose.
    pub(super) fn asked_for(&self, purpose: Purpose) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |asked| asked.purpose(self.remote) == purpose)
    }

    /// Returns the answers to them.
    pub(super) fn replies(&self, purpose: Purpose) -> impl Iterator<Item = (&Asked, &Reply)> {
        self.asked_for(purpose).filter_map(|asked| Some((asked, asked.reply.as_ref()?)))
    }

    /// Returns true if the host's address itself has answered a question for that purpose.
    pub(super) fn has_heard(&self, purpose: Purpose) -> bool {
        self.replies(purpose).any(|(_, reply)| reply.is_of_host())
    }

    /// Returns true if the host has answered a question that is not about the port.
    pub(super) fn is_host_heard(&self) -> bool {
        self.has_heard(Purpose::OtherPort) || self.has_heard(Purpose::Echo)
    }

    /// Returns true if every question that was asked has its answer.
    pub(super) fn is_all_answered(&self) -> bool {
        !self.asked.is_empty() && self.asked.iter().all(|asked| asked.reply.is_some())
    }

    /// Returns how many routers the answers of the host's other port and its echo replies passed,
    /// if they agree.
    pub(super) fn host_hops(&self) -> Option<u8> {
        let of_host = self
            .replies(Purpose::OtherPort)
            .chain(self.replies(Purpose::Echo))
            .filter(|(_, reply)| reply.is_of_host() && reply.hop_limit.is_some());
        let mut all = of_host.map(|(_, reply)| reply.hops());
        let first = all.next()??;
        all.all(|hops| hops == Some(first)).then_some(first)
    }

    /// Returns the address of the device at which a segment to the port has used up a hop limit
    /// that just reaches what answers from `hops` routers away: that device passes such segments
    /// on, so it is not the host that they are for.
    pub(super) fn passed_on(&self, hops: u8) -> Option<IpAddr> {
        let to_port = self.replies(Purpose::Limited).chain(self.replies(Purpose::Ack));
        to_port.into_iter().find_map(|(asked, reply)| match reply.kind {
            ReplyKind::Icmp(error)
                if error.meaning == Meaning::HopsExceeded
                    && asked.question.hop_limit == Some(hops + 1)
                    && reply.hops() == Some(hops) =>
            {
                Some(error.offender)
            }
            _ => None,
        })
    }

    /// Returns true if another port of the host has answered an ACK. A stateful firewall drops
    /// those that belong to no connection, whatever becomes of SYNs to their port.
    pub(super) fn has_passed_ack(&self) -> bool {
        self.replies(Purpose::OtherPort).any(|(asked, reply)| {
            asked.question.kind == QuestionKind::Ack && reply.kind == ReplyKind::Reset
        })
    }

    /// Returns true if segments come past `hops` routers and no farther to something at the host's
    /// distance: with a hop limit of one less than it takes, they end at a router.
    pub(super) fn is_just_reached_past(&self, hops: u8) -> bool {
        hops == 0
            || self.replies(Purpose::OtherPort).any(|(asked, reply)| {
                asked.question.hop_limit == Some(hops) && reply.is_of_router()
            })
    }

    /// Returns true if a segment to the port has used up the hop limit that just reaches what
    /// answers from `hops` routers away: that passes it on, or the way there is longer.
    pub(super) fn runs_out_at(&self, hops: u8) -> bool {
        let to_port = self.replies(Purpose::Limited).chain(self.replies(Purpose::Ack));
        to_port.into_iter().any(|(asked, reply)| {
            asked.question.hop_limit == Some(hops + 1) && reply.is_of_router()
        })
    }

    /// Returns the ICMP error by which something has refused a question to the port.
    pub(super) fn refusal(&self) -> Option<IcmpError> {
        let to_port = self.replies(Purpose::Limited).chain(self.replies(Purpose::Ack));
        to_port.into_iter().find_map(|(_, reply)| match reply.kind {
            ReplyKind::Icmp(error) if !reply.is_of_router() => Some(error),
            _ => None,
        })
    }

    /// Returns true if a router has found the host unreachable at another port, too.
    pub(super) fn is_unreachable(&self) -> bool {
        self.replies(Purpose::OtherPort).any(|(_, reply)| match reply.kind {
            ReplyKind::Icmp(error) => error.is_host_unreachable(),
            _ => false,
        })
    }

    /// Returns the farthest router that is known on the way, and its place on it.
    pub(super) fn last_router(&self) -> Option<(u8, IpAddr)> {
        let routers =
            self.replies(Purpose::Limited).filter_map(|(asked, reply)| match reply.kind {
                ReplyKind::Icmp(error) if error.meaning == Meaning::HopsExceeded => {
                    Some((asked.question.hop_limit?, error.offender))
                }
                _ => None,
            });
        routers.max()
    }
}

/// Returns how many routers a packet has passed that arrives with this time to live or hop limit,
/// if it left with one of those that stacks begin with.
pub(super) fn hops(hop_limit: u8) -> Option<u8> {
    const FARTHEST: u8 = 32;
    let first = [64, 128, 255].into_iter().find(|first| *first >= hop_limit)?;
    Some(first - hop_limit).filter(|hops| *hops <= FARTHEST)
}

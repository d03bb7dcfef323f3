//! A target of a pool, and what is known of it.

use std::net::SocketAddr;

use halfopen::verdict::{LookupFailure, Outcome, Reason, Verdict};
use halfopen::wire::Meaning;

use super::health::{Finding, Health};
use super::scheduler::Timing;

/// Where a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this endpoint.
    Endpoint(SocketAddr),
    /// Its name is not resolved yet.
    Unresolved,
    /// Its name does not exist any more.
    Gone(LookupFailure),
}

impl Place {
    /// Returns the endpoint, if it is known.
    pub fn endpoint(self) -> Option<SocketAddr> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            Self::Unresolved | Self::Gone(_) => None,
        }
    }
}

/// A target. There may be a million of them.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) pool: u32,
    /// Its index among the targets of the pool, or among the witnesses.
    pub(super) position: u32,
    /// What the operator wrote, if it is not the endpoint. Few targets have this, so it is boxed
    /// twice.
    pub(super) label: Option<Box<Box<str>>>,
    pub(super) place: Place,
    /// True if it is a witness: probed, and never reported.
    pub(super) is_witness: bool,
    /// True if it is counted among those that are expected to answer.
    pub(super) is_expected: bool,
    /// True if the newest check found it at an address of this machine.
    pub(super) is_own: bool,
    pub(super) health: Health,
    pub(super) timing: Timing,
    /// How the newest check ended, if it did not find the port open.
    pub(super) trouble: Option<Box<Outcome>>,
}

impl Target {
    pub(super) fn label(&self) -> Box<str> {
        match (&self.label, self.place) {
            (Some(label), _) => (**label).clone(),
            (None, Place::Endpoint(endpoint)) => endpoint.to_string().into(),
            (None, Place::Unresolved | Place::Gone(_)) => "-".into(),
        }
    }

    /// Returns true if it is on this machine, so its answers say nothing about the network.
    pub(super) fn is_local(&self) -> bool {
        self.is_own || self.place.endpoint().is_some_and(|endpoint| endpoint.ip().is_loopback())
    }

    /// Returns what the newest check has found.
    pub(super) fn finding(&self) -> Option<&'static str> {
        let trouble = self.trouble.as_deref()?.as_ref().ok()?;
        Some(trouble.state().name())
    }

    /// Returns the evidence of the newest check, or the fault that it met.
    pub(super) fn reason(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| match trouble.as_ref() {
            Ok(verdict) => verdict.reason.to_string(),
            Err(fault) => fault.to_string(),
        })
    }
}

const _: () = assert!(size_of::<Option<Target>>() <= 128);

/// Returns what an outcome says about its target.
pub(crate) fn finding(outcome: &Outcome) -> Finding {
    let Ok(Verdict { reason, .. }) = outcome else { return Finding::Fault };
    match reason {
        Reason::SynAck => Finding::Open,
        Reason::RstAck | Reason::OwnPort => Finding::Refused,
        Reason::Icmp(error) if error.meaning == Meaning::Closed => Finding::Refused,
        // The routes are this machine's.
        Reason::NoRoute(_) => Finding::Fault,
        Reason::NameNotResolved(failure) => match failure {
            LookupFailure::NotFound | LookupFailure::NotAName | LookupFailure::NotOneHost(_) => {
                Finding::Gone
            }
            // It may be about to get one.
            LookupFailure::NoAddress
            | LookupFailure::Temporary
            | LookupFailure::Failed
            | LookupFailure::TimedOut => Finding::Fault,
        },
        Reason::BareAck
        | Reason::WrongAcknowledgement
        | Reason::AnsweredBy(_)
        | Reason::Icmp(_) => Finding::Rejected,
        Reason::NoNeighbour(_) | Reason::NoAnswer { .. } => Finding::Silent,
    }
}

//! What is known of a target that is pending.

use std::net::SocketAddr;

use super::endpoint::Endpoint;
use super::sources::SourceId;
use crate::local_error::LocalError;
use crate::verdict::Reason;

/// A target that is pending, in few bytes: there may be a million of them.
pub(super) struct PendingTarget {
    pub(super) remote: Endpoint,
    /// When the wait for its newest attempt ends, in nanoseconds.
    pub(super) until: u64,
    /// What has happened so far, if anything.
    pub(super) incidents: Option<Box<Incidents>>,
    pub(super) id: u32,
    /// RFC 6528's M, of which the sequence numbers of all its SYNs are made.
    pub(super) clock: u32,
    /// The wait of its first attempt, in nanoseconds.
    pub(super) first_wait: u32,
    /// The attempts whose SYN left, a bit each.
    pub(super) sent: u16,
    /// Where the newest of them left from.
    pub(super) source: Option<SourceId>,
    /// Attempts begun, whether or not their SYN could leave.
    pub(super) begun: u8,
    pub(super) stage: Stage,
}

/// What has happened to a target beside silence. Few targets have any of it.
#[derive(Default, Clone)]
pub(super) struct Incidents {
    /// The latest that the network or the routing table said, short of a final answer.
    pub(super) evidence: Option<Reason>,
    /// The attempts that an ICMP error has ended, a bit each.
    pub(super) lost: u16,
    /// The attempts from ports that drew an ACK without SYN, a bit each.
    pub(super) acked: u16,
    /// The attempts from ports that drew a SYN+ACK with a wrong acknowledgement, a bit each.
    pub(super) misacknowledged: u16,
    /// Who acknowledged a SYN that went elsewhere.
    pub(super) answered_by: Option<SocketAddr>,
    /// The attempts that were given up after their wait, so that an answer to them would not have
    /// been heard, a bit each.
    pub(super) given_up: u16,
    /// The latest fault that kept a SYN from leaving.
    pub(super) error: Option<LocalError>,
    /// How often the next SYN has been postponed, as far as that counts.
    pub(super) postponed: u8,
    /// When it is due again, in nanoseconds.
    pub(super) due_again: u64,
    /// How often the last attempt was repeated, and when it was last, in nanoseconds.
    pub(super) repeats: u8,
    pub(super) repeated_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Due,
    /// Its SYN has been handed out, and what became of it is yet to be said.
    Sending,
    Waiting,
    /// There was no room for the SYN that was due.
    Postponed,
    Ended,
}

impl PendingTarget {
    /// When the target's stage ends by itself, in nanoseconds.
    pub(super) fn waits_until(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting => Some(self.until),
            Stage::Postponed => self.incidents.as_ref().map(|incidents| incidents.due_again),
            Stage::Due | Stage::Sending | Stage::Ended => None,
        }
    }
}

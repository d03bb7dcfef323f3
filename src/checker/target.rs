//! What is known of a pending target.

use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::progress::Progress;
use super::sources::SourceId;
use crate::local_error::LocalError;
use crate::verdict::Reason;

/// A pending target. It takes only 52 bytes, because there may be a million of them.
#[repr(Rust, packed(2))]
pub(super) struct PendingTarget {
    pub(super) remote: Endpoint,
    /// When the timeout of its newest attempt ends, in nanoseconds.
    pub(super) until: u64,
    pub(super) id: u32,
    /// RFC 6528's M, which is in the sequence number of each of its SYNs.
    pub(super) clock: u32,
    /// The timeout of its first attempt, in nanoseconds.
    pub(super) first_wait: u32,
    /// How much later than planned the timeout of its newest attempt ends, in milliseconds.
    pub(super) late: u16,
    /// The attempts whose SYN left, a bit each.
    pub(super) sent: u16,
    /// The address that the newest of them left from.
    pub(super) source: Option<SourceId>,
    pub(super) progress: Progress,
    pub(super) stage: Stage,
}

const _: () = assert!(size_of::<PendingTarget>() == 52);

/// What has happened to a target except silence. Few targets have any of it.
#[derive(Clone)]
pub(super) struct Incidents {
    /// The latest statement of the network or the routing table that was not final.
    pub(super) evidence: Option<Reason>,
    /// The attempts that failed by an ICMP error, a bit each.
    pub(super) lost: u16,
    /// When the latest of them failed.
    pub(super) failed_at: Option<Duration>,
    /// Whether the last one of all attempts is made once more, within its timeout.
    pub(super) once_more: OnceMore,
    /// The attempts from ports that drew an ACK without SYN, a bit each.
    pub(super) acked: u16,
    /// The attempts from ports that drew a SYN+ACK with a wrong acknowledgement, a bit each.
    pub(super) misacknowledged: u16,
    /// Another endpoint that acknowledged the SYN.
    pub(super) answered_by: Option<SocketAddr>,
    /// The attempts that were given up after their timeout, a bit each: an answer to them would not
    /// have been received.
    pub(super) given_up: u16,
    /// The latest error that kept a SYN from leaving.
    pub(super) error: Option<LocalError>,
    /// How often the next SYN has been postponed, at most 14.
    pub(super) postponed: u8,
    /// When it becomes due again, in nanoseconds.
    pub(super) due_again: u64,
    /// How often the last attempt was repeated.
    pub(super) repeats: u8,
    /// When that was last, in nanoseconds.
    pub(super) repeated_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Due,
    /// Its SYN was polled, and what became of it is not reported yet.
    Sending,
    Waiting,
    /// There was no room for its SYN.
    Postponed,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnceMore {
    NotYet,
    /// Its SYN is about to leave.
    Due,
    Done,
}

impl Incidents {
    pub(super) const NONE: Self = Self {
        evidence: None,
        lost: 0,
        failed_at: None,
        once_more: OnceMore::NotYet,
        acked: 0,
        misacknowledged: 0,
        answered_by: None,
        given_up: 0,
        error: None,
        postponed: 0,
        due_again: 0,
        repeats: 0,
        repeated_at: 0,
    };

    /// Returns the attempts from ports that drew an unacceptable ACK, a bit each.
    pub(super) fn unacceptable(&self) -> u16 {
        self.acked | self.misacknowledged
    }
}

//! What an explainer keeps besides its inquiries.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::Answered;

/// The most SYNs that are remembered. Then all are forgotten.
const SYNS: usize = 65_536;

#[derive(Default)]
pub(super) struct Memory {
    /// Answers to SYNs since the last target ended.
    pub(super) answers: Vec<(SocketAddr, Answered)>,
    /// The SYNs of inquiries that are over, for the RST to a late SYN+ACK: the endpoint that each
    /// left from, and its number.
    syns: HashSet<(SocketAddr, u32)>,
}

impl Memory {
    /// Remembers the SYNs of an inquiry.
    pub(super) fn remember(&mut self, syns: impl Iterator<Item = (SocketAddr, u32)>) {
        if self.syns.len() >= SYNS {
            self.syns.clear();
        }
        self.syns.extend(syns);
    }

    /// Returns true for a SYN that is remembered.
    pub(super) fn has(&self, syn: (SocketAddr, u32)) -> bool {
        self.syns.contains(&syn)
    }

    /// Returns the newest answer of `remote` since the last target ended.
    pub(super) fn answer_of(&self, remote: SocketAddr) -> Option<Answered> {
        let answer = self.answers.iter().rev().find(|(from, _)| *from == remote);
        answer.map(|(_, answer)| *answer)
    }
}

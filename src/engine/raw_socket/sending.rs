//! Sends segments, each by its route.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::super::route::PacketInfo;
use super::super::send;
use super::RawSocket;
use crate::local_error::LocalError;
use crate::wire::Segment;

/// From this number of RSTs on, a thread of their own pays off.
const CROWD: usize = 16;

impl RawSocket {
    /// Returns what the socket is told about the route of `segment`.
    pub(in crate::engine) fn info(&self, segment: &Segment) -> PacketInfo {
        let of = |detours: &HashMap<_, _>| {
            detours.get(&(segment.destination, segment.source.port())).copied()
        };
        Some(&self.detours)
            .filter(|detours| !detours.is_empty())
            .and_then(of)
            .unwrap_or(self.default_info)
    }

    /// Forgets what is known about `remote`. Nothing is sent there any more.
    pub(in crate::engine) fn forget(&mut self, remote: SocketAddr) {
        if !self.detours.is_empty() {
            for reserved in &self.reserved_ports {
                self.detours.remove(&(remote, reserved.port()));
            }
        }
    }

    /// Sends at most a batch of segments that have one source address and one [`PacketInfo`].
    /// Returns when each of them left, or why it did not.
    pub(in crate::engine) fn send(&self, segments: &[Segment]) -> Vec<Result<Instant, LocalError>> {
        send::send(&self.raw, segments, self.info(&segments[0]), None)
    }

    /// Does the same with RSTs, or leaves them to a thread if there are many.
    pub(in crate::engine) fn send_rsts(
        &self,
        rsts: &[Segment],
    ) -> Vec<Result<Instant, LocalError>> {
        let is_crowd = rsts.len() >= CROWD && self.info(&rsts[0]) == self.default_info;
        if is_crowd && self.rst_sender.send(rsts) {
            vec![Ok(Instant::now()); rsts.len()]
        } else {
            self.send(rsts)
        }
    }

    /// Sends one segment with a hop limit of its own, if there is one. Returns when it left.
    pub(in crate::engine) fn send_one(
        &self,
        segment: &Segment,
        hop_limit: Option<u8>,
    ) -> Result<Instant, LocalError> {
        let results = send::send(&self.raw, &[*segment], self.info(segment), hop_limit);
        results.into_iter().next().expect("one for each segment")
    }

    /// Returns true while RSTs that were accepted have neither left nor been taken back.
    pub(in crate::engine) fn has_pending_rsts(&self) -> bool {
        self.rst_sender.has_pending()
    }

    /// Returns the RSTs that were accepted and then found no room.
    pub(in crate::engine) fn take_unsent_rsts(&self) -> Vec<Segment> {
        self.rst_sender.take_unsent()
    }
}

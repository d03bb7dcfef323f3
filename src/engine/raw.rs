//! Raw sockets: our own SYN and RST on the wire, answers from the raw socket, ICMP errors from its error queue.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::MsgFlags;
use nix::sys::time::TimeSpec;
use socket2::Domain;

use super::lane::{BATCH, Lane};
use super::{Egress, Engine};
use crate::fault::{Fault, Refusal};
use crate::wire::{Arrival, Segment};

/// One lane an address family.
pub struct RawEngine {
    start: Instant,
    egress: Egress,
    lanes: Lanes,
}

struct Lanes {
    v4: Option<Result<Lane, Fault>>,
    v6: Option<Result<Lane, Fault>>,
}

impl Lanes {
    /// What sends to and from addresses like `address`.
    fn of(&mut self, address: SocketAddr) -> Result<&mut Lane, Fault> {
        let lane = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let lane = lane.as_mut().expect("opened for the family of every target");
        lane.as_mut().map_err(|fault| fault.clone())
    }

    fn iter(&self) -> impl Iterator<Item = &Lane> {
        [&self.v4, &self.v6].into_iter().flatten().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        [&mut self.v4, &mut self.v6].into_iter().flatten().flatten()
    }
}

impl RawEngine {
    /// As on the command line and in reports.
    pub const NAME: &str = "raw";

    /// Opens what sends IPv4, IPv6 or both; time counts from `start`. Fails where nothing can be sent; where only one of two
    /// families is missing, that is said of its targets. Needs `CAP_NET_RAW`.
    pub fn open(start: Instant, egress: Egress, v4: bool, v6: bool) -> Result<Self, Fault> {
        let v4 = v4.then(|| Lane::open(Domain::IPV4, &egress));
        let v6 = v6.then(|| Lane::open(Domain::IPV6, &egress));
        match (&v4, &v6) {
            (Some(Err(fault)), None | Some(Err(_))) | (None, Some(Err(fault))) => {
                Err(fault.clone())
            }
            _ => Ok(Self { start, egress, lanes: Lanes { v4, v6 } }),
        }
    }

    /// Makes room for crowds of answers; gives how many may be on their way at once.
    pub fn widen(&mut self) -> usize {
        let egress = &self.egress;
        self.lanes.iter_mut().map(|lane| lane.widen(egress)).min().unwrap_or_default()
    }

    /// Takes in a batch of each queue; gives the time where nothing was left behind.
    fn drain(&mut self, arrivals: &mut Vec<(Duration, Arrival)>) -> Option<Duration> {
        let now = self.start.elapsed();
        let mut all = true;
        for lane in self.lanes.iter_mut() {
            for queue in [MsgFlags::empty(), MsgFlags::MSG_ERRQUEUE] {
                all &= lane.drain(queue, |arrival| arrivals.push((now, arrival)));
            }
        }
        all.then_some(now)
    }
}

impl Engine for RawEngine {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn local_endpoint(&mut self, remote: SocketAddr, number: usize) -> Result<SocketAddr, Refusal> {
        let lane = self.lanes.of(remote).map_err(Refusal::Fault)?;
        lane.local_endpoint(remote, number, &self.egress)
    }

    fn send(&mut self, segments: &[Segment]) -> Vec<Result<(), Fault>> {
        let mut results = Vec::with_capacity(segments.len());
        let alike = segments.chunk_by(|a, b| a.source.ip() == b.source.ip());
        for segments in alike.flat_map(|alike| alike.chunks(BATCH)) {
            match self.lanes.of(segments[0].source) {
                Ok(lane) => lane.send(segments, &mut results),
                Err(fault) => results.extend(segments.iter().map(|_| Err(fault.clone()))),
            }
        }
        results
    }

    fn receive(
        &mut self,
        deadline: Duration,
        interrupts: &[BorrowedFd<'_>],
        arrivals: &mut Vec<(Duration, Arrival)>,
    ) -> Result<Option<Duration>, Fault> {
        let heard = self.drain(arrivals);
        let patience = deadline.saturating_sub(self.now());
        if !arrivals.is_empty() || heard.is_none() || patience.is_zero() {
            return Ok(heard);
        }
        let sockets = self.lanes.iter().map(AsFd::as_fd);
        let mut watched: Vec<_> = sockets
            .chain(interrupts.iter().copied())
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match ppoll(&mut watched, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::Receive(errno)),
        }
        Ok(self.drain(arrivals))
    }
}

//! Whether this machine's own network works: silence says something about a target only if others
//! answer.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// How many targets must be expected to answer, before the silence of all says something about this
/// machine. One or two may well be down at the same time.
const TARGETS: u32 = 3;

/// In how many networks they must be.
const NETWORKS: usize = 2;

/// The least time without any answer that counts as isolation.
const LEAST: Duration = Duration::from_secs(5);

/// Watches for answers, and knows which targets would be down if silence were proof.
///
/// A target that has failed often enough by silence falls only if something has answered since the
/// first of its failed checks began: that is its alibi. Without one, the target is a suspect. When
/// nothing has answered for a while, this machine is isolated.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// How long nothing must have answered.
    patience: Duration,
    last_answer: Option<Duration>,
    /// The targets that are up or not yet known, and the witnesses, by network.
    expected: HashMap<Network, u32>,
    targets: u32,
    suspects: BTreeSet<u32>,
    /// When the first suspect came.
    suspected_since: Duration,
    isolated: bool,
}

/// The first 24 bits of an IPv4 address, or 64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

impl Isolation {
    /// Sets how long an isolated machine hears nothing: twice the shortest interval of checks.
    pub(super) fn set_interval(&mut self, shortest: Duration) {
        self.patience = shortest.saturating_mul(2).max(LEAST);
    }

    /// Counts a target among those that are expected to answer, or no more.
    pub(super) fn expect(&mut self, address: IpAddr, expected: bool) {
        let network = self.expected.entry(Network::of(address)).or_default();
        if expected {
            *network += 1;
            self.targets += 1;
        } else {
            *network -= 1;
            self.targets -= 1;
            self.expected.retain(|_, targets| *targets > 0);
        }
    }

    /// Returns true if silence since `since` proves that a target does not answer.
    pub(super) fn silence_is_proof(&self, since: Duration) -> bool {
        let is_able = self.targets >= TARGETS && self.expected.len() >= NETWORKS;
        !self.isolated && (!is_able || self.last_answer.is_some_and(|at| at >= since))
    }

    /// Adds a suspect. Returns true if it is the first.
    pub(super) fn suspect(&mut self, id: u32, now: Duration) -> bool {
        if self.suspects.is_empty() {
            self.suspected_since = now;
        }
        self.suspects.insert(id) && self.suspects.len() == 1
    }

    /// Removes a suspect: it has answered, or is no target any more.
    pub(super) fn clear(&mut self, id: u32) {
        self.suspects.remove(&id);
    }

    /// Records that something on the network has answered at `at`. Returns true if this machine is
    /// isolated no more.
    pub(super) fn answered(&mut self, at: Duration) -> bool {
        self.last_answer = self.last_answer.max(Some(at));
        std::mem::take(&mut self.isolated)
    }

    /// Returns true if there are suspects.
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Removes and returns all suspects.
    pub(super) fn take_suspects(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.suspects)
    }

    /// Returns true if this machine is isolated from `now` on.
    pub(super) fn begins(&mut self, now: Duration) -> bool {
        let begins = self.poll_timeout().is_some_and(|at| at <= now);
        self.isolated |= begins;
        begins
    }

    /// Returns true while this machine is isolated.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// Returns when this machine counts as isolated if nothing answers, if there are suspects.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let silent_since = self.last_answer.unwrap_or_default();
        (!self.isolated && self.has_suspects())
            .then(|| (silent_since + self.patience).max(self.suspected_since))
    }
}

#[cfg(test)]
impl Isolation {
    /// Returns how many targets are expected to answer, by network, and the suspects.
    pub(super) fn contents(&self) -> (u32, Vec<u32>, Vec<u32>) {
        let mut networks: Vec<_> = self.expected.values().copied().collect();
        networks.sort_unstable();
        (self.targets, networks, self.suspects.iter().copied().collect())
    }
}

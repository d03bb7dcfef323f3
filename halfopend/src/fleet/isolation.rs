//! Whether this machine's own network works: silence says something about a target only if others
//! answer.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many endpoints must be expected to answer, before the silence of all says something about
/// this machine. One or two may well be down at the same time.
const ENDPOINTS: usize = 3;

/// In how many networks they must be.
const NETWORKS: usize = 2;

/// The least time without any answer that counts as isolation.
const LEAST: Duration = Duration::from_secs(5);

/// The least time between two answers that are remembered.
const RESOLUTION: Duration = Duration::from_millis(1);

/// The most answers that are remembered.
const REMEMBERED: u32 = 60_000;

/// Watches for answers, and knows which silence is proof.
///
/// The silence of a check proves something about the target if something else has answered between
/// the first and the last SYN of the check: then a SYN left while the network worked. If nothing
/// has, and nothing does for a while, this machine is isolated.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// How long nothing must answer.
    patience: Duration,
    /// When something has answered, in order.
    answers: VecDeque<Duration>,
    /// For how long that is remembered: twice as long as a check takes at most.
    memory: Duration,
    /// How many endpoints are expected to answer, by network: those of targets that are up or not
    /// yet known, and of witnesses.
    expected: HashMap<Network, usize>,
    /// The sum of these.
    endpoints: usize,
    /// When the first check began that was silent, while nothing has answered since.
    silent_since: Option<Duration>,
    /// True if since then, enough targets were expected to answer.
    was_able: bool,
    isolated: bool,
}

/// The first 24 bits of an IPv4 address, or 64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

impl Isolation {
    /// Sets how long an isolated machine hears nothing, by the shortest interval of checks; and how
    /// long answers are remembered, by the longest check.
    pub(super) fn set_times(&mut self, shortest: Duration, longest: Duration) {
        self.patience = shortest.saturating_mul(2).max(LEAST);
        self.memory = longest.saturating_mul(2);
    }

    /// Counts an endpoint among those that are expected to answer, or no more.
    pub(super) fn expect(&mut self, address: IpAddr, expected: bool) {
        let count = self.expected.entry(Network::of(address)).or_default();
        if expected {
            *count += 1;
            self.endpoints += 1;
            return;
        }
        *count -= 1;
        self.endpoints -= 1;
        if *count == 0 {
            self.expected.remove(&Network::of(address));
        }
    }

    /// Returns true if something has answered in this time.
    pub(super) fn has_heard(&self, time: &RangeInclusive<Duration>) -> bool {
        let first = self.answers.partition_point(|at| at < time.start());
        self.answers.get(first).is_some_and(|at| at <= time.end())
    }

    /// Records that a check which began at `begun` was not answered. `critical` is the time in
    /// which an answer of others shows that the target should have answered too. Others were asked
    /// if something was `at_stake`. Returns true if the silence is proof.
    pub(super) fn silence_is_proof(
        &mut self,
        begun: Duration,
        critical: &RangeInclusive<Duration>,
        at_stake: bool,
    ) -> bool {
        if self.has_heard(critical) {
            return !self.isolated;
        }
        let is_able = self.endpoints >= ENDPOINTS && self.expected.len() >= NETWORKS;
        if at_stake {
            self.was_able |= is_able;
            let last_answer = self.answers.back().copied().unwrap_or_default();
            self.silent_since.get_or_insert(begun.max(last_answer));
        }
        !self.isolated && !self.was_able && !is_able
    }

    /// Returns true if this machine is isolated from `now` on, when a check has been silent.
    pub(super) fn begins(&mut self, now: Duration) -> bool {
        let is_over = |since| now.saturating_sub(since) >= self.patience;
        let begins = !self.isolated && self.was_able && self.silent_since.is_some_and(is_over);
        self.isolated |= begins;
        begins
    }

    /// Records that something on the network has answered at `at`. Returns true if this machine is
    /// isolated no more.
    pub(super) fn answered(&mut self, at: Duration) -> bool {
        let resolution = RESOLUTION.max(self.memory / REMEMBERED);
        if self.answers.back().is_none_or(|last| *last + resolution <= at) {
            self.answers.push_back(at);
        }
        while self.answers.front().is_some_and(|first| *first + self.memory < at) {
            self.answers.pop_front();
        }
        self.silent_since = None;
        self.was_able = false;
        std::mem::take(&mut self.isolated)
    }

    /// Returns true while this machine is isolated.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }
}

#[cfg(test)]
impl Isolation {
    /// Returns how many endpoints are expected to answer in each network, sorted.
    pub(super) fn expected(&self) -> Vec<usize> {
        let mut counts: Vec<_> = self.expected.values().copied().collect();
        assert_eq!(counts.iter().sum::<usize>(), self.endpoints);
        counts.sort_unstable();
        counts
    }
}

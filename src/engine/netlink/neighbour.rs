//! What the kernel says about neighbour tables (`linux/neighbour.h`).

use std::net::IpAddr;
use std::ops::RangeFrom;
use std::time::Duration;

use nix::libc;

use super::message::{BODY, address, attributes, u16_at, u32_at};

const NDA_CACHEINFO: u16 = 3;
const NDTA_STATS: u16 = 7;

/// The offset of `ndm_updated` in `struct nda_cacheinfo`, and its unit (`USER_HZ`).
const UPDATED: usize = 8;
const TICK: Duration = Duration::from_millis(10);

/// The offset of `ndts_table_fulls` in `struct ndt_stats`.
const TABLE_FULLS: RangeFrom<usize> = 80..;

/// How exactly the kernel says when a neighbour changed: in its own ticks, then in hundredths of a
/// second.
const GRANULARITY: Duration = Duration::from_millis(20);

/// An entry of a neighbour table.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Neighbour {
    pub(in crate::engine) address: Option<IpAddr>,
    /// The index of its interface.
    pub(in crate::engine) device: u32,
    /// `NUD_REACHABLE` or another state.
    pub(in crate::engine) state: u16,
    /// The time since the state changed last, to a hundredth of a second.
    unchanged_for: Duration,
}

impl Neighbour {
    /// Returns true if its state may have changed within the last `time`. That of an entry that
    /// needs no ARP never does.
    pub(in crate::engine) fn may_have_changed_within(&self, time: Duration) -> bool {
        self.state & libc::NUD_NOARP == 0 && self.unchanged_for <= time + GRANULARITY
    }

    /// Returns whether it has failed to answer within the last `time`, or `None` if that cannot be
    /// known: the kernel's times are not exact enough, or it has answered since. The kernel notes
    /// when it gives up (`neigh_timer_handler()`).
    pub(in crate::engine) fn has_failed_within(&self, time: Duration) -> Option<bool> {
        if !self.may_have_changed_within(time) {
            return Some(false);
        }
        let is_silent = self.state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED) != 0;
        (is_silent && self.unchanged_for + GRANULARITY < time).then_some(true)
    }

    /// Reads a `struct ndmsg` and its attributes.
    pub(super) fn read(body: &[u8]) -> Self {
        let head = body.get(..BODY).unwrap_or(&[0; BODY]);
        let mut neighbour = Self {
            address: None,
            device: u32_at(head, 4),
            state: u16_at(head, 8),
            unchanged_for: Duration::ZERO,
        };
        for (kind, value) in attributes(body.get(BODY..).unwrap_or_default()) {
            match kind {
                libc::NDA_DST => neighbour.address = address(value),
                NDA_CACHEINFO if value.len() >= UPDATED + size_of::<u32>() => {
                    neighbour.unchanged_for = TICK * u32_at(value, UPDATED);
                }
                _ => {}
            }
        }
        neighbour
    }
}

/// Returns how often a neighbour table has had no room for an entry, from its `struct ndtmsg` and
/// attributes.
pub(super) fn overflows(table: &[u8]) -> u64 {
    let mut attributes = attributes(table.get(4..).unwrap_or_default());
    let statistics = attributes.find_map(|(kind, value)| (kind == NDTA_STATS).then_some(value));
    let count = statistics.and_then(|value| value.get(TABLE_FULLS)?.first_chunk());
    count.map_or(0, |count| u64::from_ne_bytes(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel gave it up a second ago.
    #[test]
    fn a_failure_is_before_or_after_a_syn_or_too_close_to_tell() {
        let failed = |state, sent_ago| {
            let unchanged_for = Duration::from_secs(1);
            Neighbour { address: None, device: 1, state, unchanged_for }
                .has_failed_within(Duration::from_millis(sent_ago))
        };
        for (sent_ago, expected) in
            [(1100, Some(true)), (1010, None), (1000, None), (990, None), (900, Some(false))]
        {
            assert_eq!(failed(libc::NUD_FAILED, sent_ago), expected, "{sent_ago}");
            assert_eq!(failed(libc::NUD_INCOMPLETE, sent_ago), expected, "{sent_ago}");
            let answered_since = expected.filter(|has_failed| !has_failed);
            assert_eq!(failed(libc::NUD_REACHABLE, sent_ago), answered_since, "{sent_ago}");
        }
    }
}

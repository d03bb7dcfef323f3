//! What the kernel says about neighbour tables (`linux/neighbour.h`).

use std::ops::RangeFrom;
use std::time::Duration;

use super::message::{BODY, attributes, u16_at, u32_at};

const NDA_CACHEINFO: u16 = 3;
const NDTA_STATS: u16 = 7;

/// The offset of `ndm_updated` in `struct nda_cacheinfo`, and its unit (`USER_HZ`).
const UPDATED: usize = 8;
const TICK: Duration = Duration::from_millis(10);

/// The offset of `ndts_table_fulls` in `struct ndt_stats`.
const TABLE_FULLS: RangeFrom<usize> = 80..;

/// An entry of a neighbour table.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Neighbour {
    /// `NUD_REACHABLE` or another state.
    pub(in crate::engine) state: u16,
    /// The time since the state changed last, to a hundredth of a second.
    pub(in crate::engine) unchanged_for: Duration,
}

impl Neighbour {
    /// Reads a `struct ndmsg` and its attributes.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut attributes = attributes(body.get(BODY..).unwrap_or_default());
        let cache = attributes.find(|(kind, value)| {
            *kind == NDA_CACHEINFO && value.len() >= UPDATED + size_of::<u32>()
        });
        let ticks = cache.map_or(0, |(_, value)| u32_at(value, UPDATED));
        Self { state: u16_at(body, 8), unchanged_for: TICK * ticks }
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

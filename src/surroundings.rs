//! What this machine's kernel knows about the way to a target, without a packet being sent.

/// What this machine's kernel knows about the way to a target. What it cannot be asked is not
/// known: `false` or `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// True if the target is this machine.
    pub is_here: bool,
    /// True if the target is on a link of this machine: by the routing table, no router is in
    /// between.
    pub on_link: bool,
    /// What the neighbour table says about the next hop. `None` if it has no entry, or the link
    /// needs none (loopback, tunnels).
    pub neighbour: Option<NeighbourState>,
    /// Why this machine would drop an answer from the target.
    pub drops_answers: Option<AnswerDrop>,
    /// True if this machine has dropped some packet because of `rp_filter` since the engine was
    /// opened. It may have been an answer.
    pub may_have_dropped_answers: bool,
    /// A firewall mark with which there is a route to the target. Without it there is none.
    pub route_with_mark: Option<u32>,
    /// The number of entries in the table of tracked connections, and its limit, if it is full.
    pub full_conntrack: Option<(u32, u32)>,
    /// The number of connections that wait to be accepted by a listener on this machine, and its
    /// backlog, if the target is here and more wait than that.
    pub full_accept_queue: Option<(u32, u32)>,
}

/// What the neighbour table says about the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourState {
    /// It has answered within the last minute or so.
    Confirmed,
    /// It has answered some time ago, and not since.
    Stale,
    /// It does not answer ARP or neighbour discovery.
    Unanswered,
    /// Its entry was made by hand, so it is not asked.
    Static,
}

/// Why this machine would drop an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerDrop {
    /// Segments to the target leave by another interface than this one, where answers arrive
    /// (`rp_filter`). Since the engine was opened, some packet has been dropped for that reason. It
    /// is not known if the filter has dropped ARP requests for our address instead, which the
    /// kernel does not count.
    ReversePath(String),
    /// The source of an answer would be an address of this machine, and the interface with this
    /// name does not accept such segments (`accept_local`).
    OwnAddress(String),
}

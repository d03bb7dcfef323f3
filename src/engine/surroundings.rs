//! What this machine's kernel knows about the way to a target.

use std::fs;
use std::net::SocketAddr;

use super::netlink::{Flow, Listener, Netlink, SocketOptions};
use super::route::Router;
use crate::local_error::LocalError;
use crate::surroundings::Surroundings;

/// Asks the kernel about the surroundings of checks.
pub(super) struct Surveyor {
    /// Tells about listening sockets, if that can be asked.
    sockets: Result<Netlink, LocalError>,
    /// How many packets had been dropped by `rp_filter` when this was opened.
    reverse_path_drops: Option<u64>,
}

impl Surveyor {
    /// Opens what a confined process cannot open.
    pub(super) fn open() -> Self {
        Self { sockets: Netlink::open_for_sockets(), reverse_path_drops: reverse_path_drops() }
    }

    /// Returns what the kernel knows about the way to `to`, for segments from `local` if that is
    /// known, and sockets with `options`.
    pub(super) fn surroundings(
        &self,
        router: &Router,
        to: SocketAddr,
        local: Option<SocketAddr>,
        options: SocketOptions,
    ) -> Surroundings {
        let from_port = local.map_or(0, |local| local.port());
        let flow = Flow { to, from: local.map(|local| local.ip()), from_port, options };
        // If nothing has been dropped, no answer has.
        let drops = reverse_path_drops().zip(self.reverse_path_drops);
        let may_drop = drops.is_some_and(|(now, before)| now > before);
        let mut surroundings = router.surroundings(flow, may_drop);
        surroundings.may_have_dropped_answers = may_drop;
        surroundings.full_conntrack = full_conntrack();
        if surroundings.is_here {
            surroundings.full_accept_queue = self.full_accept_queue(to);
        }
        surroundings
    }

    /// Returns the number of connections that wait for a listener on this machine, and its backlog,
    /// if each listener that may get a SYN to `to` has a full queue.
    fn full_accept_queue(&self, to: SocketAddr) -> Option<(u32, u32)> {
        let mut listeners = self.sockets.as_ref().ok()?.listeners(to.port()).ok()?;
        // One that is bound to the address comes before one for all addresses, except perhaps one
        // that is bound to an interface (`inet_lhash2_lookup()`).
        let has_exact = listeners.iter().any(|listener| listener.address == to.ip());
        listeners.retain(|listener| {
            listener.address == to.ip()
                || listener.is_for_all(to.ip()) && (!has_exact || listener.device != 0)
        });
        let first = listeners.first()?;
        listeners.iter().all(Listener::is_full).then_some((first.queued, first.backlog))
    }
}

/// Returns the number of tracked connections and its limit, if that is reached.
fn full_conntrack() -> Option<(u32, u32)> {
    let read = |name| number(&format!("netfilter/nf_conntrack_{name}"));
    let (count, limit) = (read("count")?, read("max")?);
    // Without a limit, it is 0 (`__nf_conntrack_alloc()`).
    (limit > 0 && count >= limit).then_some((count, limit))
}

/// Returns the value of a kernel parameter of IPv4 on an interface (`IN_DEV_MAXCONF()`): the larger
/// one of its own and that for all interfaces.
pub(super) fn interface_setting(interface: &str, name: &str) -> Option<u32> {
    let read = |interface| number(&format!("ipv4/conf/{interface}/{name}"));
    Some(read("all")?.max(read(interface)?))
}

/// Reads a kernel parameter of the network.
fn number(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim_end().parse().ok()
}

/// Returns how many packets have been dropped by `rp_filter` (`LINUX_MIB_IPRPFILTER`).
fn reverse_path_drops() -> Option<u64> {
    counter(&fs::read_to_string("/proc/thread-self/net/netstat").ok()?, "IPReversePathFilter")
}

/// Finds a counter in `/proc/net/netstat`: each line of names is followed by one of values.
fn counter(text: &str, name: &str) -> Option<u64> {
    let lines: Vec<_> = text.lines().collect();
    lines.chunks_exact(2).find_map(|pair| {
        let mut each = pair[0].split_whitespace().zip(pair[1].split_whitespace());
        each.find(|(column, _)| *column == name)?.1.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_below_its_name() {
        let text =
            "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 1 7\nIpExt: InOctets\nIpExt: 5\n";
        assert_eq!(counter(text, "IPReversePathFilter"), Some(7));
        assert_eq!(counter(text, "InOctets"), Some(5));
        assert_eq!(counter(text, "OutOctets"), None);
        assert_eq!(counter("", "InOctets"), None);
    }
}

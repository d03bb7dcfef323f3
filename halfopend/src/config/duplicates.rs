//! Targets that stand for the same endpoint.

use std::borrow::Cow;
use std::net::IpAddr;

use halfopen::target::{Hosts, Target};

/// What cannot be the same for two targets with the same port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Host<'a> {
    Address(IpAddr),
    /// A name, in lower case, or a link-local address with its interface.
    Named(Cow<'a, str>),
}

/// Returns the index of the first target that has an endpoint in common with one before it, and
/// that endpoint. Takes 40 bytes per endpoint for a moment: count them before.
pub(super) fn first_duplicate<'a>(
    targets: impl Iterator<Item = &'a Target>,
) -> Option<(usize, String)> {
    let mut endpoints: Vec<(Host, u16, u32)> = Vec::new();
    for (index, target) in (0..).zip(targets) {
        let mut add = |host: Host<'a>| {
            endpoints.extend(target.ports.iter().map(|port| (host.clone(), port, index)));
        };
        match &target.hosts {
            Hosts::Block(block) => block.iter().map(Host::Address).for_each(add),
            Hosts::LinkLocal(..) => add(Host::Named(target.hosts.to_string().into())),
            Hosts::Name(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                add(Host::Named(name.to_ascii_lowercase().into()));
            }
            Hosts::Name(name) => add(Host::Named(Cow::Borrowed(name))),
        }
    }
    endpoints.sort_unstable();
    let pairs =
        endpoints.windows(2).filter(|pair| (&pair[0].0, pair[0].1) == (&pair[1].0, pair[1].1));
    let (host, port, index) = pairs.map(|pair| &pair[1]).min_by_key(|(.., index)| index)?;
    let endpoint = match host {
        Host::Address(IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        Host::Address(IpAddr::V4(v4)) => format!("{v4}:{port}"),
        Host::Named(name) => format!("{name}:{port}"),
    };
    Some((*index as usize, endpoint))
}

//! Routing rules.

use std::net::IpAddr;

use nix::libc;
use socket2::Domain;

use super::Netlink;
use super::message::{BODY, attributes, family, u32_at};
use super::ranges::{self, Prefix};
use crate::local_error::LocalError;

// Attributes and a flag of `linux/fib_rules.h`.
const FRA_DST: u16 = 1;
const FRA_FWMARK: u16 = 10;
const FRA_L3MDEV: u16 = 19;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FIB_RULE_INVERT: u32 = 2;

/// What routing rules depend on.
#[derive(Default)]
pub(in crate::engine) struct Rules {
    /// The firewall marks that they name.
    pub(in crate::engine) marks: Vec<u32>,
    /// True if there are VRFs.
    pub(in crate::engine) has_vrfs: bool,
}

impl Netlink {
    /// Returns the destinations that rules name (`RTM_GETRULE`), or `None` if a rule depends on
    /// ports or on source addresses, or the choice between next hops does
    /// (`fib_multipath_hash_policy`).
    pub(in crate::engine) fn named_by_rules(
        &self,
        domain: Domain,
    ) -> Result<Option<Vec<Prefix>>, LocalError> {
        if !self.policies.is_default(domain) {
            return Ok(None);
        }
        let family = if domain == Domain::IPV4 { libc::AF_INET } else { libc::AF_INET6 };
        let mut body = [0; BODY];
        body[0] = family.to_le_bytes()[0];
        let (mut named, mut depends) = (Vec::new(), false);
        self.list(libc::RTM_GETRULE, &body, usize::MAX, |rule| {
            let (head, options) = rule.split_at_checked(BODY).unwrap_or_default();
            let by_source = head.get(2).is_none_or(|length| *length > 0);
            let ports = [FRA_SPORT_RANGE, FRA_DPORT_RANGE];
            depends |= by_source || attributes(options).any(|(kind, _)| ports.contains(&kind));
            named.extend(ranges::prefix(rule, FRA_DST));
        })?;
        Ok((!depends).then_some(named))
    }

    /// Returns what the rules for the family of `address` depend on (`RTM_GETRULE`).
    pub(in crate::engine) fn rules(&self, address: IpAddr) -> Result<Rules, LocalError> {
        let mut body = [0; BODY];
        body[0] = family(address);
        let mut rules = Rules::default();
        self.list(libc::RTM_GETRULE, &body, usize::MAX, |rule| {
            let Some((head, options)) = rule.split_at_checked(BODY) else { return };
            for (kind, value) in attributes(options) {
                match kind {
                    FRA_L3MDEV => rules.has_vrfs = true,
                    FRA_FWMARK if value.len() == 4 && u32_at(head, 8) & FIB_RULE_INVERT == 0 => {
                        rules.marks.push(u32_at(value, 0));
                    }
                    _ => {}
                }
            }
        })?;
        rules.marks.retain(|mark| *mark != 0);
        rules.marks.dedup();
        Ok(rules)
    }
}

//! Routing rules.

use std::net::IpAddr;

use nix::libc;

use super::Netlink;
use super::message::{BODY, attributes, family, u32_at};
use crate::local_error::LocalError;

// Attributes and a flag of `linux/fib_rules.h`.
const FRA_FWMARK: u16 = 10;
const FRA_L3MDEV: u16 = 19;
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

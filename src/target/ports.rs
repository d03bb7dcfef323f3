//! The ports of a target.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{TargetError, excerpt};
use crate::number::whole;

/// Ports, ascending, each once; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Box<[RangeInclusive<u16>]>);

impl Ports {
    /// Iterates over the ports in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + Clone + use<> {
        self.0.clone().into_iter().flatten()
    }

    /// Returns the ports as ranges that do not overlap, in ascending order.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self([port..=port].into())
    }
}

impl FromStr for Ports {
    type Err = TargetError;

    /// Reads `25`, `25,80` and `25,80,8000-8010`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let range = |part: &str| match part {
            "" => Err(TargetError::Port(excerpt(text))),
            part => port_range(part),
        };
        let mut ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start() <= last.end() => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Ok(Self(merged.into()))
    }
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, TargetError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(TargetError::ReversedPorts(excerpt(text)));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, TargetError> {
    let port = |text| whole(text).filter(|port| *port != 0);
    port(text).ok_or_else(|| match port(text.trim_start_matches('0')) {
        Some(_) => TargetError::PaddedPort(excerpt(text)),
        None => TargetError::Port(excerpt(text)),
    })
}

//! The tables of the file, with the place of what may be wrong only together with something else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopen::engine::EngineKind;
use serde::Deserialize;
use toml::Spanned;

use super::words::{
    Argument, FailOpen, Interface, Isolation, Name, Percentage, Quoted, Retries, Small, Whole,
    Written,
};
use super::{Addresses, IpProtocol, MOST_SYNS};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) rate: Option<Spanned<Whole<1, MOST_SYNS>>>,
    pub(super) engine: Option<Quoted<EngineKind>>,
    pub(super) target_metrics: Option<bool>,
    pub(super) explain: Option<bool>,
    pub(super) probe: Option<Probe>,
    #[serde(default)]
    pub(super) module: BTreeMap<Spanned<Quoted<Name>>, Module>,
    #[serde(default)]
    pub(super) pool: BTreeMap<Spanned<Quoted<Name>>, Pool>,
}

/// `[probe]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    #[serde(default)]
    pub(super) allow: Vec<Spanned<Written>>,
    pub(super) max_in_flight: Option<Whole<1, 256>>,
}

/// `[module.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    pub(super) timeout: Option<Quoted<Duration>>,
    pub(super) retries: Option<Retries>,
    pub(super) preferred_ip_protocol: Option<Quoted<IpProtocol>>,
    pub(super) ip_protocol_fallback: Option<bool>,
}

/// `[pool.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pool {
    #[serde(default)]
    pub(super) targets: Vec<Spanned<Written>>,
    pub(super) file: Option<String>,
    pub(super) addresses: Option<Quoted<Addresses>>,
    pub(super) interval: Option<Spanned<Quoted<Duration>>>,
    pub(super) timeout: Option<Spanned<Quoted<Duration>>>,
    pub(super) retries: Option<Retries>,
    pub(super) rise: Option<Small>,
    pub(super) fall: Option<Small>,
    pub(super) fall_refused: Option<Small>,
    pub(super) transition_interval: Option<Spanned<Quoted<Duration>>>,
    pub(super) down_interval: Option<Spanned<Quoted<Duration>>>,
    pub(super) jitter: Option<Quoted<Percentage>>,
    pub(super) source: Option<Quoted<IpAddr>>,
    pub(super) interface: Option<Quoted<Interface>>,
    pub(super) mark: Option<Whole<0, { u32::MAX }>>,
    pub(super) dscp: Option<Whole<0, 63>>,
    pub(super) ttl: Option<Small>,
    pub(super) hook: Option<Spanned<Vec<Quoted<Argument>>>>,
    pub(super) agent: Option<Quoted<SocketAddr>>,
    #[serde(default)]
    pub(super) witness: Vec<Spanned<Written>>,
    pub(super) isolation: Option<Quoted<Isolation>>,
    pub(super) fail_open: Option<FailOpen>,
}

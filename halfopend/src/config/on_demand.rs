//! The tables of checks on demand.

use halfopen::target::Hosts;
use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::parse::targets;
use super::source::Source;
use super::tables;
use super::words::{Name, Quoted, Retries, Whole, Word, Written};
use super::{IpProtocol, ModuleConfig, ProbeConfig};

impl Word for IpProtocol {
    const FORM: &'static str = "\"ip4\" or \"ip6\"";

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "ip4" => Self::V4,
            "ip6" => Self::V6,
            _ => return None,
        })
    }
}

pub(super) fn probe(source: &Source, table: tables::Probe) -> Result<ProbeConfig, ConfigError> {
    let is_name = |target: &&Spanned<Written>| matches!(target.as_ref().0.hosts, Hosts::Name(_));
    if let Some(name) = table.allow.iter().find(is_name) {
        return Err(source.at(name.span().start, Problem::AllowedName));
    }
    Ok(ProbeConfig {
        allow: targets(table.allow),
        max_in_flight: table.max_in_flight.map_or(256, Whole::get),
        engine: 0,
    })
}

pub(super) fn module(name: Spanned<Quoted<Name>>, table: &tables::Module) -> ModuleConfig {
    let defaults = ModuleConfig::named(&name.into_inner().0.0);
    let preferred = table.preferred_ip_protocol.as_ref();
    ModuleConfig {
        timeout: table.timeout.as_ref().map_or(defaults.timeout, |Quoted(timeout)| *timeout),
        attempts: table.retries.map_or(defaults.attempts, Retries::attempts),
        preferred: preferred.map_or(defaults.preferred, |Quoted(preferred)| *preferred),
        falls_back: table.ip_protocol_fallback.unwrap_or(defaults.falls_back),
        ..defaults
    }
}

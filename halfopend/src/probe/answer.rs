//! What a client is told, in Prometheus' text format.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use halfopen::verdict::{PortState, Verdict};

use crate::config::{ModuleConfig, Written};

/// How a check has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The address, unless the name has none.
    pub address: Option<IpAddr>,
    /// How long it took to look up the name.
    pub lookup: Duration,
    /// How long all of it took.
    pub duration: Duration,
    /// How long the check could have taken.
    pub timeout: Duration,
    /// The result.
    pub verdict: Verdict,
}

impl Report {
    /// Returns true if the port is open.
    pub fn is_success(&self) -> bool {
        self.verdict.state() == PortState::Open
    }

    /// Returns the metrics: those of `blackbox_exporter` first.
    pub fn metrics(&self) -> String {
        let mut text = String::with_capacity(2048);
        let seconds = |duration: Duration| duration.as_secs_f64();
        let (protocol, hash) = match self.address {
            Some(IpAddr::V4(v4)) => (4, fnv_1a(&v4.octets())),
            Some(IpAddr::V6(v6)) => (6, fnv_1a(&v6.octets())),
            None => (0, 0),
        };
        let mut gauge = |name: &str, help: &str, value: f64| {
            head(&mut text, name, help);
            let _ = writeln!(text, "{name} {value}");
        };
        let success = f64::from(u8::from(self.is_success()));
        gauge("probe_success", "Whether the port is open.", success);
        gauge("probe_duration_seconds", "How long all of it took.", seconds(self.duration));
        gauge("probe_timeout_seconds", "How long the check may take.", seconds(self.timeout));
        let help = "How long it took to look up the name.";
        gauge("probe_dns_lookup_time_seconds", help, seconds(self.lookup));
        gauge("probe_ip_protocol", "The version of IP, or 0.", f64::from(protocol));
        let help = "The FNV-1a hash of the address: it differs if the address does.";
        gauge("probe_ip_addr_hash", help, f64::from(hash));
        if let Some(time) = self.verdict.round_trip() {
            gauge("probe_tcp_round_trip_seconds", "From the SYN to its answer.", seconds(time));
        }
        let syns = u32::try_from(self.verdict.attempts).unwrap_or(u32::MAX);
        gauge("probe_tcp_syns", "How many SYNs were sent.", f64::from(syns));
        head(&mut text, "probe_tcp_state", "Which state the port has.");
        for state in PortState::ALL {
            let is_it = u8::from(self.verdict.state() == state);
            let _ = writeln!(text, "probe_tcp_state{{state=\"{state}\"}} {is_it}");
        }
        text
    }
}

/// Returns the answer to `debug=true`: the log, the metrics, and the settings of the module.
pub fn debug_text(log: &str, answer: &str, module: &ModuleConfig) -> String {
    let module = Written::module(module);
    format!(
        "Logs for the probe:\n{log}\n\n\nMetrics that would have been returned:\n{answer}\n\n\n\
         Module configuration:\n{module}"
    )
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
}

/// Returns the hash of Fowler, Noll and Vo, in its variant 1a with 32 bits.
fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of the authors' page.
    #[test]
    fn the_hash_is_that_of_its_authors() {
        for (text, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv_1a(text.as_bytes()), hash, "{text}");
        }
    }
}

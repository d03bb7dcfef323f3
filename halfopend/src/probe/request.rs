//! What a client asks for.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use form_urlencoded::parse;
use halfopen::target::{Hosts, Target, TargetError, excerpt};
use hyper::StatusCode;

use super::Terms;
use crate::config::ModuleConfig;

/// The header in which Prometheus says how long it waits, in seconds.
pub const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// How long before the client's timeout the answer is due.
const OFFSET: Duration = Duration::from_millis(500);

/// If a client does not say how long it waits: the time for looking up the name and for waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest time that a client can ask for.
const LONGEST: Duration = Duration::from_mins(2);

/// A check that a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The target, as the client wrote it.
    pub target: String,
    /// What to check.
    pub host: Host,
    /// At this port.
    pub port: u16,
    /// How to check it.
    pub module: ModuleConfig,
    /// How long the check may take.
    pub timeout: Duration,
    /// How long all of it may take: looking the name up, waiting for its turn, and the check.
    pub limit: Duration,
    /// How long the client waits for an answer.
    pub patience: Duration,
    /// True if the client wants the log.
    pub debug: bool,
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// At this address.
    Address(IpAddr),
    /// At this address on a link.
    LinkLocal(IpAddr, Box<str>),
    /// At the address of this name.
    Name(Box<str>),
}

/// Why there is nothing to check.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is no such module.
    #[error("Unknown module {0:?}")]
    UnknownModule(String),
    /// The header is not understood.
    #[error("Failed to parse timeout from Prometheus header: {0:?} is not a number")]
    Timeout(String),
    /// There is no target.
    #[error("Target parameter is missing")]
    NoTarget,
    /// It is not understood.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It stands for several.
    #[error("{0:?} is not one address or name with one port")]
    NotOneTarget(String),
    /// The configuration does not allow it.
    #[error("{0} is not allowed: see [probe] in halfopend.toml(5)")]
    NotAllowed(String),
}

impl Refusal {
    /// Returns the HTTP status for it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Timeout(_) => StatusCode::INTERNAL_SERVER_ERROR, // as blackbox_exporter
            Self::NotAllowed(_)
            | Self::Target(TargetError::NotOneHost(_) | TargetError::NoScope(_)) => {
                StatusCode::FORBIDDEN
            }
            Self::UnknownModule(_) | Self::NoTarget | Self::Target(_) | Self::NotOneTarget(_) => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

impl Request {
    /// Understands a query, and the value of the header [`TIMEOUT_HEADER`] if there is one. Of
    /// several parameters with the same name, the first one counts; unknown ones do not.
    ///
    /// # Errors
    ///
    /// Returns why there is nothing to check.
    pub fn parse(query: &str, header: Option<&[u8]>, terms: &Terms) -> Result<Self, Refusal> {
        let parameter = |name: &str| {
            let found = parse(query.as_bytes()).find(|(other, _)| other == name);
            found.map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let name = parameter("module");
        let module = terms.module(name.as_deref());
        let unknown = || Refusal::UnknownModule(excerpt(&name.unwrap_or_default()));
        let module = module.ok_or_else(unknown)?;
        let waits = header.map(seconds).transpose()?.flatten();
        let target = parameter("target").ok_or(Refusal::NoTarget)?;
        let (host, port) = one(&target)?;
        let longest = before(LONGEST);
        let limit = waits.map_or(module.timeout + PATIENCE, before).min(longest);
        let patience = waits.map_or(limit + OFFSET, |waits| (limit + waits) / 2);
        Ok(Self {
            target: target.into_owned(),
            host,
            port,
            timeout: module.timeout.min(limit),
            limit,
            patience: patience.min(LONGEST),
            module,
            debug: parameter("debug") == Some(Cow::Borrowed("true")),
        })
    }
}

/// Returns the endpoint or the name, and the port, of what must be a single target.
fn one(text: &str) -> Result<(Host, u16), Refusal> {
    let several = || Refusal::NotOneTarget(excerpt(text));
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(several());
    }
    let Target { hosts, ports } = text.parse()?;
    let mut ports = ports.iter();
    let (Some(port), None) = (ports.next(), ports.next()) else { return Err(several()) };
    let host = match hosts {
        Hosts::Block(block) => Host::Address(block.ip()),
        Hosts::LinkLocal(address, scope) => Host::LinkLocal(address, scope),
        Hosts::Name(name) => Host::Name(name),
    };
    Ok((host, port))
}

/// Returns how long a client waits; `None` if it gives no usable time.
fn seconds(header: &[u8]) -> Result<Option<Duration>, Refusal> {
    let text = String::from_utf8_lossy(header);
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = text.parse::<f64>().ok().filter(|seconds| !seconds.is_nan());
    let seconds = seconds.ok_or_else(|| Refusal::Timeout(excerpt(text)))?;
    let waits = Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()));
    Ok(waits.ok().filter(|waits| *waits >= Duration::from_millis(1)))
}

/// Returns how long a check may take if its client waits for `waits`: half a second less, or half
/// of that time if that is more.
fn before(waits: Duration) -> Duration {
    waits.saturating_sub(OFFSET).max(waits / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SECOND: Duration = Duration::from_secs(1);

    fn terms() -> Terms {
        let fast = ModuleConfig { timeout: SECOND, ..ModuleConfig::named("fast") };
        Terms::of(&Config { modules: vec![fast], ..Config::of_targets(Vec::new()) })
    }

    fn parse(query: &str) -> Result<Request, Refusal> {
        Request::parse(query, None, &terms())
    }

    #[test]
    fn a_query_names_a_target_and_a_module() {
        let request = parse("target=web.example%3A443&module=fast&debug=true&hostname=a").unwrap();
        assert_eq!((&*request.target, request.port), ("web.example:443", 443));
        assert_eq!(request.host, Host::Name("web.example".into()));
        assert_eq!((request.timeout, request.debug), (SECOND, true));
        let request = parse("module=&target=[2001:db8::1]:80&target=a:1&debug=TRUE").unwrap();
        assert_eq!(request.host, Host::Address("2001:db8::1".parse().unwrap()));
        assert_eq!((request.timeout, request.debug), (ModuleConfig::named("").timeout, false));
        let mapped = parse("target=[::ffff:192.0.2.1]:80").unwrap();
        assert_eq!(mapped.host, Host::Address("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_is_not_one_target_is_refused() {
        for (query, status) in [
            ("module=slow&target=192.0.2.1:80", 400),
            ("", 400),
            ("target=", 400),
            ("target=192.0.2.1", 400),
            ("target=192.0.2.1:80,81", 400),
            ("target=192.0.2.1:80-90", 400),
            ("target=192.0.2.0/24:80", 400),
            ("target=192.0.2.1%2080", 400),
            ("target=192.0.2.1:0", 400),
            ("target=192.0.2.1:65536", 400),
            ("target=127.1:80", 400),
            ("target=0x7f000001:80", 400),
            ("target=2130706433:80", 400),
            ("target=a%0d%0ab:80", 400),
            ("target=a%00:80", 400),
            ("target=http://web.example:80", 400),
            ("target=0.0.0.0:80", 403),
            ("target=[::]:80", 403),
            ("target=224.0.0.1:80", 403),
            ("target=255.255.255.255:80", 403),
            ("target=[ff02::1]:80", 403),
            ("target=[ff02::1%25lo]:80", 403),
            ("target=[fe80::1]:80", 403),
        ] {
            let refusal = parse(query).expect_err(query);
            assert_eq!(refusal.status().as_u16(), status, "{query}: {refusal}");
        }
    }

    #[test]
    fn the_timeout_fits_into_that_of_prometheus_and_is_never_zero() {
        let times = |header: &str| {
            let asked = Request::parse("target=a:1&module=fast", Some(header.as_bytes()), &terms());
            let Request { timeout, limit, patience, .. } = asked.unwrap();
            [timeout, limit, patience].map(|time| time.as_secs_f64())
        };
        for (header, expected) in [
            ("10", [1.0, 9.5, 9.75]),
            ("1.25", [0.75, 0.75, 1.0]),
            ("0.5", [0.25, 0.25, 0.375]),
            ("1e3", [1.0, 119.5, 119.75]),
            ("inf", [1.0, 119.5, 119.75]),
            ("", [1.0, 6.0, 6.5]),
            ("0", [1.0, 6.0, 6.5]),
            ("-290", [1.0, 6.0, 6.5]),
            ("-inf", [1.0, 6.0, 6.5]),
            ("1e-30", [1.0, 6.0, 6.5]),
        ] {
            let is_close = |(time, expected): (&f64, &f64)| (time - expected).abs() < 1e-6;
            let times = times(header);
            assert!(times.iter().zip(&expected).all(is_close), "{header}: {times:?}");
        }
        for header in ["abc", "NaN", "10s", "0x10", "1,5"] {
            let refusal = Request::parse("target=a:1", Some(header.as_bytes()), &terms());
            let status = refusal.expect_err(header).status();
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{header}");
        }
    }
}

//! What must hold of every question to `/probe`, for the tests and the fuzzer.

use std::time::Duration;

use halfopen::target::is_one_host;
use halfopend::config::{Config, ModuleConfig};
use halfopend::probe::{Host, Request, Terms};

/// A query, with the value of the header in which Prometheus says how long it waits in the second
/// line, is understood, or there is a short message with a status. A check has some time, and its
/// answer is there while the client waits.
pub(crate) fn probe_query(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (query, header) = match text.split_once('\n') {
        Some((query, header)) => (query, Some(header)),
        None => (text, None),
    };
    let fast = ModuleConfig { timeout: Duration::from_millis(1), ..ModuleConfig::named("fast") };
    let slow = ModuleConfig { timeout: Duration::from_hours(24), ..ModuleConfig::named("slow") };
    let modules = vec![fast, slow];
    let terms = Terms::of(&Config { modules, ..Config::of_targets(Vec::new()) });
    match Request::parse(query, header.map(str::as_bytes), &terms) {
        Ok(request) => {
            let Request { host, port, module, timeout, limit, patience, .. } = request;
            assert!(!timeout.is_zero() && timeout <= module.timeout && timeout <= limit);
            assert!(limit < patience && patience < Duration::from_mins(2), "{limit:?}");
            let waits = header.and_then(|header| header.trim().parse::<f64>().ok());
            let waits = waits.filter(|waits| (0.001..1000.0).contains(waits));
            assert!(waits.is_none_or(|waits| patience.as_secs_f64() < waits), "{patience:?}");
            assert!(port != 0);
            match host {
                Host::Address(address) => assert!(is_one_host(address.to_canonical())),
                Host::LinkLocal(address, _) => assert!(is_one_host(address)),
                Host::Name(name) => assert!((1..=253).contains(&name.len())),
            }
        }
        Err(refusal) => {
            let message = refusal.to_string();
            assert!(message.len() <= 1024 && !message.contains(char::is_control), "{message:?}");
            assert!([400, 403, 500].contains(&refusal.status().as_u16()), "{message}");
        }
    }
}

//! Checks on demand. The judges are the kernel, captures, and what pools find meanwhile.

use std::net::TcpStream;

use lab::{Lab, Namespace};

use crate::daemon::{Daemon, Files, wait_until};
use crate::http::{HERE, curl};

/// What is allowed, and a pool that needs a target.
pub(crate) const CONFIGURATION: &str = r#"
[probe]
allow = ["198.18.0.0/16:8025-8030", "[2001:db8:1::]:8025", "[2001:db8:1::2]:8025", "127.0.0.1:8025"]
[module.tcp_connect]
timeout = "700ms"
[module.ip4]
timeout = "700ms"
preferred_ip_protocol = "ip4"
[pool.web]
targets = ["198.18.9.9:99"]
"#;

/// A client's metrics: the status, and what was answered.
pub(crate) fn probe(host: &Namespace, query: &str, words: &[&str]) -> (String, String) {
    let url = format!("http://{HERE}/probe?{query}");
    curl(host, &[&["--globoff"], words, &[&*url]].concat())
}

/// Returns the value of a line of the exposition.
pub(crate) fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
    line.split(' ').nth(1)?.parse().ok()
}

pub(crate) fn start(lab: &Lab, files: &Files) -> Daemon {
    let mut command = crate::name_service::command(files);
    command.args(["--listen", HERE]);
    let daemon = Daemon::of(&lab.client, command);
    wait_until("it listens", || lab.client.enter(|| TcpStream::connect(HERE).is_ok()));
    daemon
}

#[test]
fn a_target_is_checked_when_a_client_asks() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[::]:8025".parse().unwrap());
    lab.server.nft(
        "table inet filtered { chain in { type filter hook input priority 0; \
         tcp dport 8027 drop; tcp dport 8028 reject with icmpx admin-prohibited; }; }",
    );
    let files = Files::new(CONFIGURATION);
    let _daemon = start(&lab, &files);
    for (target, state, protocol, syns) in [
        ("198.18.0.1:8025", "open", 4.0, 1.0),
        ("[2001:db8:1::2]:8025", "open", 6.0, 1.0),
        ("198.18.0.1:8026", "closed", 4.0, 1.0),
        ("198.18.0.1:8027", "filtered", 4.0, 3.0),
        ("198.18.0.1:8028", "filtered", 4.0, 1.0),
        ("127.0.0.1:8025", "closed", 4.0, 1.0),
    ] {
        let (status, text) =
            probe(&lab.client, &format!("module=tcp_connect&target={target}"), &[]);
        assert_eq!(status, "200", "{target}: {text}");
        for other in ["open", "closed", "filtered", "unreachable", "stale"] {
            let name = format!("probe_tcp_state{{state=\"{other}\"}}");
            let expected = f64::from(u8::from(other == state));
            assert_eq!(value(&text, &name), Some(expected), "{target}: {text}");
        }
        let success = f64::from(u8::from(state == "open"));
        assert_eq!(value(&text, "probe_success"), Some(success), "{target}: {text}");
        assert_eq!(value(&text, "probe_ip_protocol"), Some(protocol), "{target}: {text}");
        assert_eq!(value(&text, "probe_tcp_syns"), Some(syns), "{target}: {text}");
        let has_answered = value(&text, "probe_tcp_round_trip_seconds").is_some();
        assert_eq!(has_answered, syns < 2.0, "{target}: {text}");
        assert_eq!(value(&text, "probe_timeout_seconds"), Some(0.7));
    }
}

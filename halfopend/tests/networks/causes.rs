//! Why targets are down that leave by different engines.

use lab::{Captured, Lab};
use serde_json::Value;

use crate::daemon::{Daemon, Files, wait_for};
use crate::http::{HERE, curl};

/// A pool whose SYNs leave from the first address of the client, and one from the second.
const POOLS: &str = "[pool.refused]\n\
     targets = [\"198.18.0.1:8025\"]\n\
     source = \"198.19.0.1\"\n\
     interval = \"500ms\"\n\
     timeout = \"400ms\"\n\
     [pool.dropped]\n\
     targets = [\"198.18.0.2:8025\"]\n\
     source = \"198.19.0.9\"\n\
     mark = 7\n\
     interval = \"500ms\"\n\
     timeout = \"400ms\"\n";

/// What the server's firewall drops. A question by the other engine would find another cause.
const FIREWALL: &str = "table inet firewall { chain in { type filter hook input priority 0; \
     ip saddr 198.19.0.9 ip daddr 198.18.0.1 drop; \
     ip saddr 198.19.0.9 ip daddr 198.18.0.2 tcp dport 8025 drop; }; }";

#[test]
fn each_target_is_asked_about_by_the_engine_that_checks_it() {
    for (engine, causes) in
        [("raw", ["nobody-listens", "firewall-drop"]), ("connect", ["nobody-listens", "unknown"])]
    {
        let lab = Lab::new();
        lab.client.address("client0", &["198.19.0.9/24"]);
        lab.server.nft(FIREWALL);
        let capture = lab.server.capture("server0");
        let files = Files::new(&format!("engine = {engine:?}\n{POOLS}"));
        let mut daemon = Daemon::start(&lab.client, &files);
        for target in ["198.18.0.1:8025", "198.18.0.2:8025"] {
            daemon.until(0, "down", target);
        }
        wait_for(&format!("{engine}: causes {causes:?}"), || {
            let found = ["refused", "dropped"].map(|pool| cause(&lab, pool));
            if found == causes { Ok(()) } else { Err(found) }
        });
        drop(daemon);
        let asked = capture.segments();
        let came_from = |target: &str| {
            let to = |segment: &&Captured| segment.destination.to_string() == target;
            let mut sources: Vec<_> =
                asked.iter().filter(to).map(|segment| segment.source.to_string()).collect();
            sources.sort();
            sources.dedup();
            sources
        };
        assert_eq!(came_from("198.18.0.1"), ["198.19.0.1"]);
        assert_eq!(came_from("198.18.0.2"), ["198.19.0.9"]);
    }
}

/// Returns the cause that the daemon shows of the only target of a pool.
fn cause(lab: &Lab, pool: &str) -> String {
    let (_, text) = curl(&lab.client, &[&format!("http://{HERE}/api/v1/targets?pool={pool}")]);
    let shown: Value = serde_json::from_str(&text).unwrap_or_default();
    shown["targets"][0]["cause"].as_str().unwrap_or_default().to_owned()
}

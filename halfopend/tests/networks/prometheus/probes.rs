//! `/probe`, by the relabelling that the shipped configuration has.

use lab::Lab;

use super::Prometheus;
use crate::daemon::{Files, SERVERS};
use crate::http::start;

const OPEN: &str = SERVERS[0];
const CLOSED: &str = "198.18.0.1:8026";
const FILTERED: &str = "198.18.0.1:8027";
const NOT_ALLOWED: &str = "198.18.0.1:22";

#[test]
fn targets_are_checked_when_prometheus_asks() {
    let lab = Lab::new();
    let _listener = lab.server.listen(OPEN.parse().expect("an endpoint"));
    lab.server.nft(
        "table inet filtered { chain in { type filter hook input priority 0; tcp dport 8027 drop; }; }",
    );
    let files = Files::new(
        "[probe]\nallow = [\"198.18.0.0/16:8025-8030\"]\n[pool.web]\ntargets = [\"198.18.9.9:99\"]\n",
    );
    let _daemon = start(&lab, &files, &[]);
    let prometheus = Prometheus::start(&lab.client, &files, |it| {
        let targets = format!("targets: {:?}", [OPEN, CLOSED, FILTERED, NOT_ALLOWED]);
        // Half a second less is what the check has.
        it.replacen("targets: []", &targets, 1).replace(": 250ms\n", ": 2s\n")
    });
    for (target, success) in [(OPEN, 1), (CLOSED, 0), (FILTERED, 0)] {
        let own = format!(r#"{{job="halfopend-probe", instance="{target}"}}"#);
        prometheus.until(1, &format!("up{own} == 1"));
        prometheus.until(1, &format!("probe_success{own} == {success}"));
        prometheus.until(1, &format!("probe_tcp_syns{own} > 0"));
    }
    // There is no sample that says that it is down.
    let own = format!(r#"{{job="halfopend-probe", instance="{NOT_ALLOWED}"}}"#);
    prometheus.until(1, &format!("up{own} == 0"));
    assert_eq!(prometheus.query(&format!("probe_success{own}")).len(), 0);
}

//! Two Prometheus servers share the targets of one pool.

use std::collections::BTreeSet;

use lab::Lab;

use super::Prometheus;
use crate::daemon::Files;
use crate::http::start;

/// Returns the scrape configuration of a shard, as docs/prometheus.md has it.
fn shard(number: u32, configuration: &str) -> String {
    let page = include_str!("../../../../docs/prometheus.md");
    let lines = page.lines().skip_while(|line| *line != "    metric_relabel_configs:");
    let relabelling: Vec<_> = lines.take_while(|line| *line != "```").collect();
    let relabelling = relabelling.join("\n").replace(";0'", &format!(";{number}'"));
    let place = "      - targets: [localhost:10115]\n";
    assert!(relabelling.contains("hashmod") && configuration.contains(place));
    configuration.replacen(place, &format!("{place}{relabelling}\n"), 1)
}

#[test]
fn two_servers_share_the_targets_of_a_pool() {
    let lab = Lab::new();
    let files = Files::new("[pool.web]\ntargets = [\"198.18.0.0/26:8025\"]\ninterval = \"1s\"\n");
    let _daemon = start(&lab, &files, &[]);
    let servers = [0, 1].map(|number| {
        let port = 9090 + u16::try_from(number).expect("small");
        Prometheus::start_as(&lab.client, &files, port, &[], |it| shard(number, &it))
    });
    let all = 64;
    let targets = servers.each_ref().map(|prometheus| {
        // Both have the pool, for its alerts.
        prometheus.until(1, &format!("halfopen_pool_targets == {all}"));
        let series = prometheus.query("halfopen_target_held");
        series.iter().map(|it| it.label("target").to_owned()).collect::<BTreeSet<_>>()
    });
    let [first, second] = &targets;
    assert!(!first.is_empty() && !second.is_empty());
    assert_eq!(first & second, BTreeSet::new());
    assert_eq!((first | second).len(), all);
    // All metrics of a target are in the same place, with no other labels.
    for (prometheus, own) in servers.iter().zip(&targets) {
        let series = prometheus.until(own.len(), "halfopen_probes_total");
        assert!(series.iter().all(|it| own.contains(it.label("target"))));
        let left = prometheus.query(r#"{__tmp_shard!=""}"#);
        assert!(left.is_empty(), "{left:?}");
    }
}

//! From a server that dies to an alert.

use lab::Lab;

use super::Prometheus;
use crate::daemon::{SERVERS, block, wait_until};
use crate::http::{files, start};

/// Returns the targets whose alert of this name is pending or fires.
fn alerted(prometheus: &Prometheus, name: &str) -> Vec<(String, String)> {
    let data = prometheus.ask("alerts", &[]);
    let alerts = data["alerts"].as_array().expect("a list").iter();
    let alerts = alerts.filter(|alert| alert["labels"]["alertname"] == name);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    alerts.map(|alert| (text(&alert["labels"]["target"]), text(&alert["state"]))).collect()
}

#[test]
fn an_alert_fires_when_a_server_dies_until_it_is_back() {
    let lab = Lab::new();
    let listen = |server: &str| lab.server.listen(server.parse().expect("an endpoint"));
    let mut listeners: Vec<_> = SERVERS.into_iter().map(listen).collect();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let prometheus = Prometheus::start(&lab.client, &files, |it| it);
    prometheus.until(1, r#"up{job="halfopend", instance="localhost:10115"} == 1"#);
    prometheus.until(3, r#"halfopen_target_up{pool="web"} == 1"#);
    assert_eq!(alerted(&prometheus, "HalfopenTargetDown"), []);

    listeners.remove(0);
    let firing = (SERVERS[0].to_owned(), "firing".to_owned());
    wait_until("the alert fires", || {
        alerted(&prometheus, "HalfopenTargetDown") == [firing.clone()]
    });
    // It has waited before.
    prometheus.until(
        1,
        r#"max_over_time(ALERTS{alertname="HalfopenTargetDown", alertstate="pending"}[1h])"#,
    );
    assert_eq!(alerted(&prometheus, "HalfopenPoolWithoutQuorum"), []);
    listeners.remove(0);
    prometheus.until_fires("HalfopenPoolWithoutQuorum", r#"pool="web""#);

    listeners.extend(SERVERS[..2].iter().copied().map(listen));
    for name in ["HalfopenTargetDown", "HalfopenPoolWithoutQuorum"] {
        wait_until("the alert ends", || alerted(&prometheus, name).is_empty());
    }
}

#[test]
fn faults_of_this_machine_alert_and_targets_do_not() {
    let lab = Lab::new();
    let _listeners = SERVERS.map(|server| lab.server.listen(server.parse().expect("an endpoint")));
    let files = files();
    let daemon = start(&lab, &files, &[]);
    let prometheus = Prometheus::start(&lab.client, &files, |it| it);
    prometheus.until(3, "halfopen_target_up == 1");
    block(&lab, true);
    prometheus.until_fires("HalfopenLocalFault", r#"fault="firewall""#);
    assert_eq!(prometheus.query("halfopen_target_up == 1").len(), 3);
    block(&lab, false);
    prometheus.until(3, "halfopen_target_held == 0");
    // Nothing answers, and it is not this machine's firewall.
    lab.server.nft("table inet cut { chain in { type filter hook prerouting priority -300; iif server0 drop; }; }");
    prometheus.until_fires("HalfopenIsolated", "");
    assert_eq!(prometheus.query("halfopen_target_up == 1").len(), 3);
    drop(daemon);
    prometheus.until_fires("HalfopenGone", r#"instance="localhost:10115""#);
    prometheus.until(0, "halfopen_target_up"); // it is stale
}

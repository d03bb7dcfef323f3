//! Three machines check the same targets, and one Prometheus compares what they find.

use lab::{Lab, Namespace};

use super::Prometheus;
use crate::daemon::{Daemon, Files, SERVERS, pool, wait_until};
use crate::http::curl;

/// Makes a host beside the client of the lab, with this number.
fn place(lab: &Lab, number: u32) -> Namespace {
    let host = Namespace::new();
    let cable = format!("server{number}");
    host.cable("client0", &lab.server, &cable);
    host.address("client0", &[&format!("198.19.{number}.1/24")]);
    lab.server.address(&cable, &[&format!("198.19.{number}.2/24")]);
    host.configure(&[&format!("route add 198.18.0.0/16 via 198.19.{number}.2")]);
    host
}

fn listen_address(number: u32) -> String {
    format!("198.19.{number}.1:10115")
}

/// Starts a daemon there that the server reaches.
fn start(host: &Namespace, files: &Files, number: u32) -> Daemon {
    let mut command = files.command(&[]);
    command.args(["--listen", &listen_address(number)]);
    Daemon::of(host, command)
}

/// Drops what this place sends to the first server.
fn lose_path(lab: &Lab, number: u32) {
    lab.server.nft(&format!(
        "table inet path{number} {{ chain in {{ type filter hook prerouting priority -300; \
         ip saddr 198.19.{number}.1 ip daddr 198.18.0.1 drop; }}; }}"
    ));
}

#[test]
fn an_alert_fires_when_two_of_three_machines_agree() {
    let lab = Lab::new();
    let _listeners = SERVERS.map(|server| lab.server.listen(server.parse().expect("an endpoint")));
    let others = [1, 2].map(|number| place(&lab, number));
    let places = [&lab.client, &others[0], &others[1]];
    let files = Files::new(&pool().replace("agent", "#agent"));
    let _daemons: Vec<_> =
        places.into_iter().zip(0..).map(|(host, number)| start(host, &files, number)).collect();
    for number in 0..3 {
        let url = format!("http://{}/-/healthy", listen_address(number));
        wait_until("it serves", || curl(&lab.server, &[&url]).0 == "200");
    }
    let prometheus = Prometheus::start(&lab.server, &files, |configuration| {
        let all = [0, 1, 2].map(listen_address).join(", ");
        configuration.replacen("[localhost:10115]", &format!("[{all}]"), 1)
    });

    prometheus.until(9, "halfopen_target_up == 1");

    lose_path(&lab, 0);
    let alert = prometheus.until_fires("HalfopenTargetDown", "");
    assert_eq!(alert[0].label("instance"), listen_address(0));
    // Rules of a group are decided together, and this one had the same time to wait.
    let agree = r#"ALERTS{alertname="HalfopenTargetDownForTwo"}"#;
    assert_eq!(prometheus.query(agree).len(), 0);
    assert_eq!(prometheus.query("halfopen_isolated == 1").len(), 0);

    lose_path(&lab, 2);
    let alert = prometheus.until_fires("HalfopenTargetDownForTwo", "");
    assert_eq!(alert[0].label("target"), SERVERS[0]);
    assert_eq!(prometheus.query(&format!("max_over_time({agree}[1h])")).len(), 2); // it was pending
    assert_eq!(
        prometheus.query(r#"halfopen_target_up{instance="198.19.1.1:10115"} == 1"#).len(),
        3
    );
}

//! Checks through a director, by each of the ways in which it passes packets on: they say what a
//! client sees.

use std::net::{IpAddr, SocketAddr};

use super::{Cluster, Method, REAL_V4, REAL_V6, VIRTUAL_V4, VIRTUAL_V6};
use crate::support::ENGINES;
use crate::support::client::seen_by_a_client;
use crate::support::crowd::Findings;
use crate::support::process::wait_until;
use lab::{Namespace, halfopen};

const PAIRS: [(IpAddr, IpAddr); 2] = [(VIRTUAL_V4, REAL_V4), (VIRTUAL_V6, REAL_V6)];

#[test]
#[ignore = "for scripts/kernels"]
fn through_nat_checks_say_what_a_client_sees() {
    assert_checks_say_what_a_client_sees(Method::Nat);
}

#[test]
#[ignore = "for scripts/kernels"]
fn through_direct_routing_checks_say_what_a_client_sees() {
    assert_checks_say_what_a_client_sees(Method::DirectRouting);
}

#[test]
#[ignore = "for scripts/kernels"]
fn through_tunnels_checks_say_what_a_client_sees() {
    assert_checks_say_what_a_client_sees(Method::Tunnel);
}

fn assert_checks_say_what_a_client_sees(method: Method) {
    let mut cluster = Cluster::new(method);
    let pairs = PAIRS.map(|(address, real)| (SocketAddr::new(address, 25), real));
    for (service, _) in &pairs {
        ipvsadm(&cluster, &["--add-service", "--tcp-service", &service.to_string(), "-s", "rr"]);
    }
    // Nothing to pass packets on to.
    assert_all(&cluster, "closed", None);
    for (service, real) in &pairs {
        let real = SocketAddr::new(*real, 25).to_string();
        let service = service.to_string();
        let [flag, ..] = method.names();
        ipvsadm(&cluster, &["--add-server", "-t", &service, "-r", &real, flag]);
    }
    assert_all(&cluster, "open", Some("open"));
    wait_until(|| cluster.servers.run("ss", &["-Htan", "state", "syn-recv"]).is_empty());
    cluster.stop_application();
    assert_all(&cluster, "closed", Some("closed"));
    cluster.start_application();
    cluster.cut_off();
    assert_all(&cluster, "filtered", Some("filtered"));
    cluster.reconnect();
    assert_all(&cluster, "open", Some("open"));
}

pub(super) fn ipvsadm(cluster: &Cluster, arguments: &[&str]) {
    cluster.director.run("ipvsadm", arguments);
}

/// Asserts that the client finds the virtual servers in this state, and the director the real ones.
#[track_caller]
fn assert_all(cluster: &Cluster, behind: &str, real: Option<&str>) {
    for (service, _) in PAIRS {
        let service = SocketAddr::new(service, 25);
        assert_eq!(seen_by_a_client(&cluster.client, service), behind, "{service}");
    }
    for engine in ENGINES {
        let services = PAIRS.map(|(service, _)| service);
        assert_eq!(states(&cluster.client, engine, services), [behind; 2], "{engine}: the service");
        let Some(real) = real else { continue };
        let servers = PAIRS.map(|(_, server)| server);
        assert_eq!(states(&cluster.director, engine, servers), [real; 2], "{engine}: servers");
    }
}

/// Returns what the program says of port 25 on both, or why it says nothing.
fn states(host: &Namespace, engine: &str, addresses: [IpAddr; 2]) -> [String; 2] {
    let targets = addresses.map(|address| SocketAddr::new(address, 25).to_string());
    let words = ["-o", "json", "--engine", engine, "-t", "2", &targets[0], &targets[1]];
    let findings = Findings::of(&host.outcome(halfopen(&words)));
    targets.map(|target| {
        let finding = findings.of_target(&target).clone();
        finding.state.unwrap_or(finding.reason)
    })
}

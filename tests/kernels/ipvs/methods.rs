//! Checks through a director, by each of the ways in which it passes packets on: they say what a
//! client sees.

use std::net::{IpAddr, SocketAddr};

use super::{Cluster, Method, REAL_V4, REAL_V6, VIRTUAL_V4, VIRTUAL_V6};
use crate::support::ENGINES;
use crate::support::client::seen_by_a_client;
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

fn ipvsadm(cluster: &Cluster, arguments: &[&str]) {
    cluster.director.run("ipvsadm", arguments);
}

/// Asserts that the client finds the virtual servers in this state, and the director the real ones.
#[track_caller]
fn assert_all(cluster: &Cluster, behind: &str, real: Option<&str>) {
    for (virtual_server, real_server) in PAIRS {
        let service = SocketAddr::new(virtual_server, 25);
        assert_eq!(seen_by_a_client(&cluster.client, service), behind, "{service}");
        for engine in ENGINES {
            assert_eq!(
                state(&cluster.client, engine, virtual_server),
                behind,
                "{engine} {service}"
            );
            let Some(real) = real else { continue };
            assert_eq!(state(&cluster.director, engine, real_server), real, "{engine}");
        }
    }
}

fn state(host: &Namespace, engine: &str, address: IpAddr) -> String {
    let words = ["-o", "json", "--engine", engine, "-t", "2", &address.to_string(), "25"];
    let verdict = host.outcome(halfopen(&words)).verdict();
    verdict.state.unwrap_or(verdict.reason)
}

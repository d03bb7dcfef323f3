//! Servers that take only signed segments from some peers, as routers do for BGP: TCP MD5
//! (RFC 2385) and TCP-AO (RFC 5925). They drop a SYN without a signature, so the port is silent.

use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use crate::support::ENGINES;
use crate::support::helper::Helper;
use lab::{CLIENT_V4, CLIENT_V6, Lab, ROUTED_V4, ROUTED_V6, Running};

/// With this exit code the helper says that the kernel is built without such signatures.
const LACKING: i32 = 77;

const PEERS: [(IpAddr, IpAddr); 2] = [(CLIENT_V4, ROUTED_V4), (CLIENT_V6, ROUTED_V6)];

#[test]
#[ignore = "for scripts/kernels"]
fn a_server_that_wants_md5_signatures_is_filtered_and_not_closed() {
    assert_filtered_for_its_peer("md5");
}

/// Linux has it since 6.7, if it is built with it (`CONFIG_TCP_AO`): Debian's 7.2 is, 6.12 is not.
#[test]
#[ignore = "for scripts/kernels"]
fn a_server_that_wants_tcp_ao_signatures_is_filtered_and_not_closed() {
    let (lab, helper) = (Lab::new(), Helper::build("signed.c"));
    let words = ["connect", "ao", "198.19.0.2", "9", "198.19.0.1"];
    let tried = lab.client.outcome(helper.command(&words));
    let functions = fs::read_to_string("/proc/kallsyms").expect("a list of the kernel's functions");
    let is_there = functions.contains(" tcp_ao_");
    assert_eq!(tried.code != LACKING, is_there, "{tried:?}");
    if is_there {
        assert_filtered_for_its_peer("ao");
    }
}

fn assert_filtered_for_its_peer(kind: &str) {
    let (lab, helper) = (Lab::new(), Helper::build("signed.c"));
    lab.client.address("client0", &["198.19.0.11/24", "2001:db8::11/64"]);
    for ((client, server), other) in PEERS.into_iter().zip(["198.19.0.11", "2001:db8::11"]) {
        let server = server.to_string();
        let _listener = listen(&lab, &helper, kind, &server, client);
        // It is alive, and it has the key.
        let words = ["connect", kind, &server, "179", &client.to_string()];
        let signed = lab.client.outcome(helper.command(&words));
        assert_eq!(signed.code, 0, "{signed:?}");

        let check = |engine, source: &str, port| {
            let options = ["--engine", engine, "-t", "2", "-S", source];
            lab.verdict(&[&options[..], &[&server, port]].concat())
        };
        for engine in ENGINES {
            let client = client.to_string();
            let verdict = check(engine, &client, "179");
            assert_eq!(verdict.ending(), (Some("filtered"), 2), "{engine}: {verdict:?}");
            // The listener wants no signatures of others.
            let verdict = check(engine, other, "179");
            assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
            let verdict = check(engine, &client, "180");
            assert_eq!(verdict.ending(), (Some("closed"), 2), "{engine}: {verdict:?}");
        }
    }
}

/// Starts a listener that wants signatures of `peer`.
fn listen(lab: &Lab, helper: &Helper, kind: &str, server: &str, peer: IpAddr) -> Running {
    let command = helper.command(&["listen", kind, server, "179", &peer.to_string()]);
    let mut listener = lab.server.spawn(command);
    while !listener.said().contains("ready") {
        assert!(listener.child.try_wait().is_ok_and(|ended| ended.is_none()), "no listener");
        thread::sleep(Duration::from_millis(1));
    }
    listener
}

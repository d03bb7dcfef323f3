use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::board::Writer;
use crate::config::PoolConfig;
use crate::event::{Event, EventKind, PoolView, TargetView};
use crate::fleet::health::State;

const TARGET: &str = "192.0.2.7:443";

/// An agent with targets that are up or down, and its address.
fn agent(targets: &[(&str, State)]) -> SocketAddr {
    // The kernel's choice of a port is not an address to find the pool by.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let agent = Agent::listen([port, port]).unwrap();
    let board = Arc::<Board>::default();
    let mut writer = Writer::new(Arc::clone(&board));
    writer.show(&[PoolConfig { agent: Some(port), ..PoolConfig::named("web") }]);
    let count = u32::try_from(targets.len()).unwrap();
    for (id, (label, state)) in (0..).zip(targets) {
        let pool = PoolView {
            name: "web".into(),
            up: 0,
            targets: count,
            fails_open: false,
            fails_open_at: None,
        };
        let target = TargetView {
            id,
            label: (*label).into(),
            endpoint: label.parse().ok(),
            from: State::Unknown,
            to: *state,
            finding: None,
            reason: Some("RST+ACK".to_owned()),
            count: 1,
            advertised: *state,
            is_held: false,
        };
        let (pool, target) = (Some(pool), Some(target));
        writer.write(Event { sequence: 1, kind: EventKind::Snapshot, pool, target });
    }
    agent.start(board).unwrap();
    port
}

/// Sends a request, and returns what comes back until the agent closes the connection.
fn ask(agent: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(agent).unwrap();
    let _ = stream.write_all(request); // it may have been cut off
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn targets_are_asked_for_by_pool_and_name() {
    let agent = agent(&[(TARGET, State::Up), ("192.0.2.8:443", State::Down)]);
    assert_eq!(ask(agent, b"web/192.0.2.7:443\n"), "up\n");
    assert_eq!(ask(agent, b"web/192.0.2.8:443\r\n"), "down #RST+ACK\n");
    let unknown: [&[u8]; 6] = [
        b"web/192.0.2.9:443\n",
        b"mail/192.0.2.7:443\n",
        b"192.0.2.7:443\n",
        b"\n",
        b"\xff/\n",
        b"",
    ];
    for request in unknown {
        assert_eq!(ask(agent, request), "\n", "{request:?}");
    }
}

#[test]
fn the_only_target_needs_no_name_but_another_name_is_another_target() {
    let agent = agent(&[(TARGET, State::Down)]);
    assert_eq!(ask(agent, b""), "down #RST+ACK\n");
    assert_eq!(ask(agent, b"web/192.0.2.8:443\n"), "\n");
    assert_eq!(ask(agent, b"web/192.0.2.7:4"), "\n");
}

#[test]
fn hostile_clients_do_not_keep_others_from_their_answers() {
    let agent = agent(&[(TARGET, State::Up), ("192.0.2.8:443", State::Down)]);
    assert_eq!(ask(agent, &vec![b'x'; 1 << 20]), "");
    // More than it serves, and few enough for the usual limit of 1024 descriptors.
    let crowd = 0..CLIENTS + 64;
    let silent: Vec<_> = crowd.map(|_| TcpStream::connect(agent).unwrap()).collect();
    for mut stream in &silent {
        let _ = stream.write_all(b"web/");
    }
    assert_eq!(ask(agent, b"web/192.0.2.7:443\n"), "up\n");
    drop(silent);
    assert_eq!(ask(agent, b"web/192.0.2.7:443\n"), "up\n");
}

#[test]
fn an_address_in_use_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let error = Agent::listen([address]).err().expect("in use").to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {address} for agent checks (")),
        "{error}"
    );
}

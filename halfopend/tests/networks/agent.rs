//! Clients of the agent that are not `HAProxy`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use lab::{Capture, Captured, Lab, Namespace};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{AGENT, Daemon, Files, SERVERS, pool, wait_until};

/// Sends a request to the agent, and returns the answer.
pub(crate) fn ask(host: &Namespace, request: &str) -> String {
    host.enter(|| {
        let mut stream = TcpStream::connect(AGENT).expect("the agent listens");
        stream.write_all(request.as_bytes()).expect("the agent reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the agent ends its answer");
        answer
    })
}

/// Waits for an answer.
fn until_it_says(host: &Namespace, request: &str, answer: &str) {
    wait_until(&format!("{answer:?} to {request:?}"), || ask(host, request) == answer);
}

#[test]
fn the_only_target_needs_no_request() {
    let lab = Lab::new();
    let [server, ..] = SERVERS;
    let listener = lab.server.listen(server.parse().unwrap());
    let files = Files::new(&pool().replace(&format!("{SERVERS:?}"), &format!("[{server:?}]")));
    let _daemon = Daemon::start(&lab.client, &files);
    wait_until("the agent listens", || lab.client.enter(|| TcpStream::connect(AGENT).is_ok()));
    until_it_says(&lab.client, "", "up\n");
    drop(listener);
    wait_until("it is down", || ask(&lab.client, "").starts_with("down #"));
    assert_eq!(ask(&lab.client, "web/198.18.0.9:8025\n"), "\n");
}

/// The listener is open already.
#[test]
fn a_pool_that_comes_by_a_reload_shares_the_agent_of_another() {
    let lab = Lab::new();
    let _listeners = SERVERS.map(|server| lab.server.listen(server.parse().unwrap()));
    let files = Files::new(&pool());
    let mut daemon = Daemon::start(&lab.client, &files);
    let [server, ..] = SERVERS;
    daemon.until(0, "up", server);
    for text in [pool() + &pool().replace("pool.web", "pool.more"), pool().replace("web", "new")] {
        files.write("halfopend.toml", &text);
        daemon.signal(Signal::SIGHUP);
        let name = if text.contains("pool.more") { "more" } else { "new" };
        until_it_says(&lab.client, &format!("{name}/{server}\n"), "up\n");
    }
    until_it_says(&lab.client, &format!("web/{server}\n"), "\n");
}

#[test]
fn an_address_in_use_ends_the_start_and_is_named() {
    let lab = Lab::new();
    let _taken = lab.client.enter(|| TcpListener::bind(AGENT).expect("a free port"));
    let outcome = lab.client.outcome(Files::new(&pool()).command(&[]));
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    assert!(outcome.stderr.contains(&format!("cannot listen on {AGENT}")), "{outcome:#?}");
}

#[test]
fn hostile_clients_delay_neither_checks_nor_answers() {
    let lab = Lab::new();
    let mut listeners: Vec<_> =
        SERVERS.iter().map(|server| lab.server.listen(server.parse().unwrap())).collect();
    let files = Files::new(&pool());
    let mut daemon = Daemon::start(&lab.client, &files);
    let seen = daemon.until(0, "up", SERVERS[0]);
    let agent: SocketAddr = AGENT.parse().unwrap();
    let crowd: Vec<_> = lab.client.enter(|| {
        let connect = |_| TcpStream::connect_timeout(&agent, Duration::from_mins(1));
        (0..1000).map(connect).collect::<Result<_, _>>().expect("the agent accepts them")
    });
    for (index, mut stream) in crowd.iter().enumerate() {
        // Many were closed already to make room.
        let _ = match index % 3 {
            0 => stream.write_all(b"web/198.18.0"),
            1 => stream.write_all(&vec![b'x'; 1 << 20]),
            _ => Ok(()),
        };
    }
    listeners.remove(0);
    daemon.until(seen, "down", SERVERS[0]);
    let request = format!("web/{}\n", SERVERS[0]);
    wait_until("the agent tells", || ask(&lab.client, &request).starts_with("down #"));
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count();
    assert!(descriptors < 320, "{descriptors}");
}

/// So many targets that do not answer that their SYNs take all descriptors there are.
const SILENT: &str = "[pool.silent]\n\
                  targets = [\"198.18.9.0/24:8025\"]\n\
                  interval = \"500ms\"\n\
                  transition_interval = \"500ms\"\n\
                  down_interval = \"500ms\"\n\
                  timeout = \"500ms\"\n\
                  retries = 10\n";

/// Without privilege, each SYN has a descriptor of its own.
#[test]
fn clients_take_no_descriptors_of_checks() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet silent { chain in { type filter hook input priority 0; \
         ip daddr 198.18.9.0/24 drop; }; }",
    );
    let mut listeners: Vec<_> =
        SERVERS.iter().map(|server| lab.server.listen(server.parse().unwrap())).collect();
    let files = Files::new(&format!("engine = \"connect\"\n{}{SILENT}", pool()));
    let limited = ["sh", "-c", "ulimit -n 1024 && exec \"$@\"", "sh"];
    let capture = lab.server.capture("server0");
    let mut daemon = Daemon::of(&lab.client, files.command(&limited));
    let mut seen = daemon.until(0, "up", SERVERS[0]);
    let crowd = || {
        lab.client.enter(|| {
            let servers = [AGENT, "127.0.0.1:10115"].into_iter().cycle().take(512);
            servers.filter_map(|server| TcpStream::connect(server).ok()).collect::<Vec<_>>()
        })
    };
    for _ in 0..2 {
        let _crowd = crowd();
        listeners.remove(0);
        seen = daemon.until(seen, "down", SERVERS[0]);
        let _crowd = crowd();
        listeners.insert(0, lab.server.listen(SERVERS[0].parse().unwrap()));
        seen = daemon.until(seen, "up", SERVERS[0]);
    }
    let of_live = |event: &Value| SERVERS[1..].iter().any(|server| event["target"] == *server);
    let is_trouble = |event: &Value| event["event"] == "down" || event["event"] == "held";
    let trouble = daemon.events().into_iter().find(|event| of_live(event) && is_trouble(event));
    assert_eq!(trouble, None);

    // Each half second, but for the load of this machine.
    let most = Duration::from_secs(5) + daemon.held_up();
    drop(daemon);
    let longest = longest_pause(&capture, "198.18.1.1");
    assert!(longest < Some(most), "{longest:?}, not {most:?}");
}

/// Returns the longest time between two SYNs to a server.
fn longest_pause(capture: &Capture, server: &str) -> Option<Duration> {
    let is_syn =
        |segment: &Captured| segment.flags == "SYN" && segment.destination.to_string() == server;
    let syns: Vec<_> = capture.segments().into_iter().filter(is_syn).collect();
    syns.windows(2).map(|pair| pair[1].after(&pair[0])).max()
}

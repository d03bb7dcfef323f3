//! A load balancer marks its monitors' sockets from outside: `MARK=n LD_PRELOAD=….so` in front of
//! the command (ZEVENET).

use std::net::SocketAddr;
use std::process::Command;

use crate::support::exchange::{assert_half_open, assert_refused};
use crate::support::marked_route::{MARKED_V4, MARKED_V6, lab_with_a_marked_route};
use crate::support::preloaded::Preloaded;
use lab::{Lab, Outcome, ROUTED_V4, ROUTED_V6, halfopen_path};

/// Runs the program as the load balancer does: through a shell, with the hook in front.
fn marked_check(lab: &Lab, hook: &Preloaded, words: &str) -> Outcome {
    let hook = hook.path.display();
    let program = halfopen_path();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("MARK=7 LD_PRELOAD={hook} '{program}' {words}")]);
    lab.client.outcome(shell)
}

#[test]
fn the_mark_of_a_preloaded_hook_is_on_syn_and_rst() {
    let lab = lab_with_a_marked_route();
    let hook = Preloaded::build(&lab, "privilege/mark_hook.c");
    for (client, server) in [(MARKED_V4, ROUTED_V4), (MARKED_V6, ROUTED_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let (plain, marked) = (lab.server.capture("server0"), lab.server.capture("server1"));
        let outcome = marked_check(&lab, &hook, &format!("{server} 80"));
        assert_eq!((outcome.code, &*outcome.stderr), (0, ""), "{outcome:?}");
        assert_half_open(&marked.segments(), client, server);
        let outcome = marked_check(&lab, &hook, &format!("{server} 81"));
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert_refused(&marked.segments(), client, server);
        assert!(plain.segments().is_empty(), "nothing leaves by the other way");
    }
}

/// In pools, RSTs have a socket and a thread of their own.
#[test]
fn the_mark_of_a_preloaded_hook_is_on_every_packet_of_a_pool() {
    const TARGETS: usize = 256;
    let lab = lab_with_a_marked_route();
    let hook = Preloaded::build(&lab, "privilege/mark_hook.c");
    let _listener = lab.server.listen("[::]:80".parse().expect("an endpoint"));
    for block in ["198.18.0.0/24:80", "'[2001:db8:1::/120]:80'"] {
        let (plain, marked) = (lab.server.capture("server0"), lab.server.capture("server1"));
        let outcome = marked_check(&lab, &hook, &format!("--rate 0 {block}"));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let marked = marked.segments();
        for flags in ["SYN", "SYN+ACK", "RST"] {
            let count = marked.iter().filter(|segment| segment.flags == flags).count();
            assert_eq!(count, TARGETS, "{flags}");
        }
        assert_eq!(marked.len(), 3 * TARGETS);
        assert!(plain.segments().is_empty(), "nothing leaves by the other way");
    }
}

//! A raw socket is offered every TCP segment of the machine. One that only waits is skipped, and
//! lent privilege waits for at most a minute.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::dropping::Held;
use crate::support::caller::Caller;
use crate::support::process::wait_until;
use lab::{CLIENT_V4, CLIENT_V6, Lab, Namespace, SERVER_V4, SERVER_V6};

const DROP_PORT_9: &str =
    "table inet t { chain in { type filter hook input priority 0; tcp dport 9 drop; }; }";

/// Sends a segment to every listening port of that address of the host. These are the ports that
/// the program has reserved, and its filter admits segments to them.
fn knock_at_all_ports(host: &Namespace, address: IpAddr) {
    let told = host.run("ss", &["-Htln"]);
    let ports = told.lines().filter_map(|line| {
        let local = line.split_whitespace().nth(3)?;
        let (_, port) = local.rsplit_once(':')?;
        port.parse::<u16>().ok()
    });
    let ports: Vec<_> = ports.collect();
    assert!(!ports.is_empty(), "{told}");
    host.enter(|| {
        for port in ports {
            let patience = Duration::from_millis(20);
            TcpStream::connect_timeout(&(address, port).into(), patience).expect_err("deaf");
        }
    });
}

/// Returns the bytes in the receive queues of the raw sockets in the table `raw` or `raw6`.
fn queued(host: &Namespace, table: &str) -> Vec<u64> {
    let path = format!("/proc/thread-self/net/{table}");
    let table = host.enter(|| fs::read_to_string(path).expect("/proc is mounted"));
    let sockets = table.lines().skip(1).map(|line| {
        let queues = line.split_whitespace().nth(4).expect("tx_queue:rx_queue");
        let (_, received) = queues.split_once(':').expect("two numbers");
        u64::from_str_radix(received, 16).expect("hexadecimal")
    });
    sockets.collect()
}

/// A program that waits for its targets receives no segments. Once it sends, it receives answers.
#[test]
fn while_targets_are_read_no_segment_is_copied_for_the_program() {
    let lab = Lab::new();
    let callers = [Caller::root(&lab), Caller::user(&lab).with_file_capability("+p")];
    for (server, loopback, table, source) in [
        (SERVER_V4, Ipv4Addr::LOCALHOST.into(), "raw", "198.19.0.1"),
        (SERVER_V6, IpAddr::from(Ipv6Addr::LOCALHOST), "raw6", "2001:db8::1"),
    ] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for caller in &callers {
            for options in [&[][..], &["--source", source]] {
                let held = Held::start_with(&lab, caller, options, &[]);
                for address in [loopback, source.parse().expect("an address")] {
                    knock_at_all_ports(&lab.client, address);
                }
                assert_eq!(queued(&lab.client, table), [0], "{options:?}");
                let outcome = held.go_on(server);
                assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
            }
        }
    }
}

/// Segments to the address that its SYN left from are copied, and reported with `-v`; those to
/// loopback are not. Over IPv6 that takes `--source`: without it the kernel chooses the source, as
/// for a connection, and the socket cannot be bound to it.
#[test]
fn while_one_answer_is_waited_for_segments_to_other_addresses_are_not_copied() {
    let lab = Lab::new();
    let root = Caller::root(&lab);
    let from_v6 = CLIENT_V6.to_string();
    let (here_v4, here_v6) = (Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST));
    for (options, server, knocked_at, copied) in [
        (&[][..], SERVER_V4, CLIENT_V4, true),
        (&[], SERVER_V4, here_v4, false),
        (&["--source", &*from_v6], SERVER_V6, CLIENT_V6, true),
        (&["--source", &*from_v6], SERVER_V6, here_v6, false),
        (&[], SERVER_V6, here_v6, true),
    ] {
        lab.server.nft(DROP_PORT_9);
        let capture = lab.server.capture("server0");
        let server = server.to_string();
        let words = [options, &["-v", "-t", "50", "--retries", "10", &server, "9"]].concat();
        let running = lab.client.spawn(root.command(&words));
        wait_until(|| !capture.segments().is_empty());
        knock_at_all_ports(&lab.client, knocked_at);
        lab.server.run("nft", &["flush", "ruleset"]); // the next SYN is answered
        let outcome = running.wait();
        assert_eq!(outcome.stdout.contains("ignored"), copied, "{knocked_at}: {outcome:?}");
    }
}

#[test]
fn answers_to_each_of_several_sources_are_received() {
    let lab = Lab::new();
    for (server, loopback) in
        [(SERVER_V4, IpAddr::from(Ipv4Addr::LOCALHOST)), (SERVER_V6, Ipv6Addr::LOCALHOST.into())]
    {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let _other = lab.client.listen(SocketAddr::new(loopback, 80));
        let [there, here] = [server, loopback].map(|host| SocketAddr::new(host, 80).to_string());
        for targets in [[&*there, &*here], [&*here, &*there]] {
            let outcome = lab.check(&[&["--rate", "0", "--retries", "0"], &targets[..]].concat());
            assert_eq!(outcome.code, 0, "{outcome:?}");
        }
    }
}

/// The tables have the sockets that are offered segments.
#[test]
fn a_target_of_one_address_family_takes_no_socket_of_the_other() {
    let lab = Lab::new();
    lab.server.nft(DROP_PORT_9);
    let caller = Caller::root(&lab);
    for (words, [v4, v6]) in [
        (&["198.19.0.2", "9"][..], [1, 0]),
        (&["[::ffff:198.19.0.2]:9"], [1, 0]),
        (&["2001:db8::2", "9"], [0, 1]),
        (&["-H", "2001:db8::2", "-p", "9"], [0, 1]),
        (&["[2001:db8::2]:9", "[2001:db8::4/127]:9"], [0, 1]),
        (&["[2001:db8::2]:9", "198.19.0.2:9"], [1, 1]),
    ] {
        let capture = lab.server.capture("server0");
        let running = lab.client.spawn(caller.command(words));
        wait_until(|| !capture.segments().is_empty());
        let sockets = || [queued(&lab.client, "raw").len(), queued(&lab.client, "raw6").len()];
        assert_eq!(sockets(), [v4, v6], "{words:?}");
        drop(running);
    }
}

#[test]
fn lent_privilege_has_a_longest_deadline() {
    let lab = Lab::new();
    let check = |caller: &Caller, timeout| caller.check(&lab, &["-t", timeout, "198.19.0.2", "81"]);
    for caller in Caller::lent(&lab) {
        for timeout in ["60.001", "61", "86400"] {
            let outcome = check(&caller, timeout);
            let cause =
                format!("--timeout {timeout} is only for root and callers with CAP_NET_RAW");
            assert!(outcome.code == 3 && outcome.stdout.contains(&cause), "{outcome:?}");
        }
        for timeout in ["60", "60000ms"] {
            assert_eq!(check(&caller, timeout).code, 2);
        }
    }
    for caller in [Caller::root(&lab), Caller::user_with_ambient_net_raw(&lab), Caller::user(&lab)]
    {
        assert_eq!(check(&caller, "61").code, 2);
    }
}

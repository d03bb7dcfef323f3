//! Applications that accept nothing, and others.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::ENGINES;
use super::explained::{explain, explain_each};
use super::full_queue::FullQueue;
use super::hosts::{Hosts, endpoint, filter};
use crate::support::process::{signal, state, wait_until};
use crate::support::tun::{Family, in_both_families};

in_both_families!(
    a_full_queue_looks_like_a_filter_of_syns_until_the_application_accepts,
    a_stopped_application_with_a_full_queue_looks_like_a_filter_of_syns,
    nobody_listens_where_the_host_itself_refuses,
    an_open_port_has_no_cause,
);

fn a_full_queue_looks_like_a_filter_of_syns_until_the_application_accepts(family: Family) {
    let hosts = Hosts::new();
    for (host, _, address) in hosts.each(family) {
        let mut queues = [0, 5].map(|backlog| {
            (80 + backlog, FullQueue::new(host, endpoint(address, 80 + backlog), backlog))
        });
        let address = address.to_string();
        let checks = ["80", "85"].map(|port| vec!["-t", "2", &address, port]);
        for explained in explain_each(&hosts.lab.client, &checks) {
            explained.assert_cause("filtered", "filter-or-queue");
            explained.assert_evidence(&["answers an ACK with RST"]);
            explained.assert_evidence(&["port 40001 answers SYN with RST"]);
            explained.assert_evidence(&[&address, "answers ping"]);
        }
        for (port, queue) in &mut queues {
            queue.accept_all();
            explain(&hosts.lab.client, &[&address, &port.to_string()]).assert_open_without_cause();
            queue.listener.set_nonblocking(true).expect("a socket of ours");
            queue.listener.accept().expect_err("a check leaves no connection");
        }
    }
}

/// A small server: it accepts connections until it is stopped.
const SERVER: &str = r#"use Socket qw(:all);
    my ($family, $address, $port) = @ARGV;
    my $six = $family eq "v6";
    my $ip = inet_pton($six ? AF_INET6 : AF_INET, $address);
    socket(my $listener, $six ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or die;
    bind($listener, $six ? pack_sockaddr_in6($port, $ip) : pack_sockaddr_in($port, $ip)) or die;
    listen($listener, 3) or die;
    $| = 1; print "ready\n";
    while (accept(my $connection, $listener)) { close $connection }"#;

fn a_stopped_application_with_a_full_queue_looks_like_a_filter_of_syns(family: Family) {
    let hosts = Hosts::new();
    for (host, _, address) in hosts.each(family) {
        let name = if address.is_ipv6() { "v6" } else { "v4" };
        let text = address.to_string();
        let mut perl = Command::new("perl");
        perl.args(["-e", SERVER, name, &text, "80"]).stdin(Stdio::null());
        let application = host.spawn(perl);
        wait_until(|| application.said() == "ready\n");
        signal(&application, Signal::SIGSTOP);
        wait_until(|| state(&application) == 'T');
        let connect = || TcpStream::connect(endpoint(address, 80)).expect("room in the queue");
        let waiting: Vec<_> = host.enter(|| (0..4).map(|_| connect()).collect());

        let stopped = explain(&hosts.lab.client, &["-t", "2", &text, "80"]);
        stopped.assert_cause("filtered", "filter-or-queue");

        drop(waiting);
        signal(&application, Signal::SIGCONT);
        wait_until(|| {
            host.run("ss", &["-Hltn", "sport", "=", ":80"]).split_whitespace().nth(1) == Some("0")
        });
        explain(&hosts.lab.client, &[&text, "80"]).assert_open_without_cause();
    }
}

fn nobody_listens_where_the_host_itself_refuses(family: Family) {
    let hosts = Hosts::new();
    for (_, place, address) in hosts.each(family) {
        let address = address.to_string();
        let closed = explain(&hosts.lab.client, &[&address, "80"]);
        closed.assert_cause("closed", "nobody-listens");
        closed.assert_evidence(&["answers ping"]);
        let connected = explain(&hosts.lab.client, &["--engine", "connect", &address, "80"]);
        // The kernel does not tell from how far away an RST comes.
        let cause = if place == "near" { "nobody-listens" } else { "unknown" };
        connected.assert_cause("closed", cause);
    }
}

fn an_open_port_has_no_cause(family: Family) {
    let hosts = Hosts::new();
    for (host, _, address) in hosts.each(family) {
        let listener = host.listen(endpoint(address, 80));
        // Whatever else of the host is silent.
        filter(host, "input", "tcp dport != 80 drop; meta l4proto icmp drop;");
        let address = address.to_string();
        for engine in ENGINES {
            for options in [&["--engine", engine][..], &["--engine", engine, "-v", "-t", "2"]] {
                let words = [options, &[&address, "80"]].concat();
                explain(&hosts.lab.client, &words).assert_open_without_cause();
            }
        }
        listener.set_nonblocking(true).expect("a socket of ours");
        listener.accept().expect_err("a check leaves no connection");
    }
}

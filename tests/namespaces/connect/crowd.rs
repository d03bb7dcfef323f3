//! Thousands of open targets: every handshake is cut short before its ACK leaves, which the kernel
//! delays by 200 ms.

use std::cell::Cell;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::unistd::Pid;

use crate::support::crowd::{CLOSED, Crowd, Findings, OPEN, expected};
use crate::support::tun::{FarEnd, TunHost};
use crate::tun_peer::scenario::Standstill;
use crate::tun_peer::sent::Sent;
use lab::{Lab, Running, halfopen_path, with_own_clock};

/// How many answers arrive together.
const HELD_BACK: usize = 512;

/// How soon the peer sees that the test is over.
const ATTENTION: Duration = Duration::from_millis(5);

/// How many descriptors the program may have: few, and as many as this machine allows.
const LIMITS: [&str; 2] = ["64", "$(ulimit -H -n)"];

#[test]
fn none_of_sixteen_thousand_is_accepted_as_fast_as_the_machine_goes() {
    none_of_a_crowd_is_accepted("0", "198.18.0.0/18", 16_384);
}

#[test]
fn none_of_sixteen_thousand_is_accepted_at_the_default_rate() {
    none_of_a_crowd_is_accepted("10000", "198.18.0.0/18", 16_384);
}

#[test]
fn none_of_an_ipv6_crowd_is_accepted() {
    none_of_a_crowd_is_accepted("0", "[2001:db8:1::/116]", 4096);
}

/// One busy process more than there are processors, so the program has to wait for a processor
/// again and again.
#[test]
fn none_of_a_crowd_is_accepted_on_a_busy_machine() {
    let lab = Lab::new();
    let processors = thread::available_parallelism().expect("the kernel counts them");
    let _busy: Vec<_> = (0..=processors.get()).map(|_| spin(&lab)).collect();
    for rate in ["0", "10000"] {
        none_is_accepted(&Watched::new(), rate, "198.18.0.0/18", 16_384, LIMITS[1]);
    }
}

/// As on a long path: the program is stopped while they arrive, and has thousands of SYNs to send
/// when it continues. Those can wait, but a finished handshake has only a fifth of a second. (On a
/// busy machine that may not be enough, but the order is the same.)
#[test]
fn answers_that_come_all_at_once_are_all_cut_short_before_more_syns_leave() {
    let program = Arc::new(OnceLock::new());
    let told = Arc::clone(&program);
    let host = TunHost::facing(move |far_end| answer_all_at_once(far_end, &told));
    host.namespace.configure(&["route add 198.18.128.0/18 dev tun0"]);
    let mut command = Command::new(halfopen_path());
    let options = ["--engine", "connect", "-o", "json", "--rate", "0", "-t", "20"];
    command.args(options).arg("198.18.128.0/18:80");
    let running = host.namespace.spawn(with_own_clock(command));
    program.set(Pid::from_raw(running.child.id().cast_signed())).expect("one program");
    let findings = Findings::of(&running.wait());
    assert_eq!((findings.summary.open, findings.code), (16_384, 0), "{:?}", findings.summary);

    let sent = host.finish();
    let resets = sent.iter().enumerate().filter(|(_, flags)| *flags == "RST+ACK");
    let (last, _) = resets.take(HELD_BACK).last().expect("resets");
    let meanwhile = sent[..last].iter().filter(|flags| *flags == "SYN").count();
    assert!(meanwhile <= 2 * 64, "{meanwhile} SYNs left before the last of {HELD_BACK} resets");
}

#[test]
fn every_target_of_a_mixed_crowd_has_its_verdict() {
    let crowd = Watched::new();
    for limit in LIMITS {
        let findings = crowd.check(limit, &["--rate", "0", "-t", "30", "198.18.0.0/18:80,81"]);
        findings.assert_states(expected("198.18.0.0", 16_384, &[OPEN, CLOSED]));
        crowd.assert_nothing_reached_the_application();
    }
}

fn none_of_a_crowd_is_accepted(rate: &str, block: &str, targets: u32) {
    let crowd = Watched::new();
    for limit in LIMITS {
        none_is_accepted(&crowd, rate, block, targets, limit);
    }
}

fn none_is_accepted(crowd: &Watched, rate: &str, block: &str, targets: u32, limit: &str) {
    let findings = crowd.check(limit, &["--rate", rate, "-t", "30", &format!("{block}:80")]);
    let first = block.trim_start_matches('[').split('/').next().expect("split gives one");
    findings.assert_states(expected(first, targets, &[OPEN]));
    assert_eq!(findings.code, 0);
    crowd.assert_nothing_reached_the_application();
}

/// Simulates a network in which every address is open. The first answers are held back, and arrive
/// together while the program is stopped. Returns the flags of what the program sent afterwards.
fn answer_all_at_once(far_end: FarEnd, program: &OnceLock<Pid>) -> Vec<String> {
    let mut peer = Peer { far_end, answers: Vec::new(), came: Vec::new() };
    while peer.answers.len() < HELD_BACK && peer.far_end.attend(ATTENTION) {
        while peer.answers.len() < HELD_BACK && peer.hears() {}
    }
    let standstill = Standstill::of(*program.wait());
    while peer.hears() {}
    peer.answer();
    peer.came.clear();
    drop(standstill);
    while peer.far_end.attend(ATTENTION) {
        while peer.hears() {}
        peer.answer();
    }
    peer.came
}

struct Peer {
    far_end: FarEnd,
    answers: Vec<Vec<u8>>,
    came: Vec<String>,
}

impl Peer {
    /// Reads a packet, if there is one.
    fn hears(&mut self) -> bool {
        let Some(packet) = self.far_end.receive() else { return false };
        if let Some(sent) = Sent::decode(&packet) {
            self.answers.extend(sent.is_syn().then(|| sent.syn_ack().packet()));
            self.came.push(sent.flag_names());
        }
        true
    }

    fn answer(&mut self) {
        for packet in self.answers.drain(..) {
            self.far_end.inject(&packet);
        }
    }
}

/// A crowd whose server's firewall counts the ACKs that would complete a handshake.
struct Watched {
    crowd: Crowd,
    /// The longest that the machine held up the program that was run last.
    held_up: Cell<Duration>,
}

/// A finished handshake has 200 ms before the kernel sends its ACK (`TCP_DELACK_MAX`). A program
/// that was held up for half of that may have been too late.
const PERMITTED: Duration = Duration::from_millis(100);

impl Watched {
    fn new() -> Self {
        let crowd = Crowd::new();
        crowd.lab.server.nft(
            "table inet watch {
                 counter acks { }
                 counter resets { }
                 chain in {
                     type filter hook input priority -10;
                     tcp flags & (fin | syn | rst | ack) == ack counter name acks
                     tcp flags & (fin | syn | rst | ack) == rst | ack counter name resets
                 }
             }",
        );
        Self { crowd, held_up: Cell::default() }
    }

    /// Runs the program with this limit on descriptors, in words of the shell.
    fn check(&self, descriptors: &str, arguments: &[&str]) -> Findings {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"ulimit -n {descriptors} && exec "$0" "$@""#), halfopen_path()])
            .args(["-o", "json", "--engine", "connect"])
            .args(arguments);
        let outcome = self.crowd.lab.client.outcome(with_own_clock(command));
        self.held_up.set(outcome.times.expect("a program with a clock of its own").held_up);
        Findings::of(&outcome)
    }

    fn assert_nothing_reached_the_application(&self) {
        let (acks, held_up) = (self.count("acks"), self.held_up.get());
        assert!(acks == 0 || held_up > PERMITTED, "{acks} ACKs got out, held up {held_up:?}");
        assert!(self.count("resets") > 0, "the firewall counts");
        if acks > 0 {
            self.crowd.accept_all();
        }
        self.crowd.assert_nothing_is_left();
    }

    /// Returns the number of packets since the last call.
    fn count(&self, counter: &str) -> u64 {
        let told =
            self.crowd.lab.server.run("nft", &["reset", "counter", "inet", "watch", counter]);
        let mut words = told.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{told}"))
    }
}

/// A process that uses a processor all the time, for at most half a minute.
fn spin(lab: &Lab) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -t 30; while :; do :; done"]);
    lab.client.spawn(command)
}

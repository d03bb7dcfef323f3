//! A peer that floods and forgeries while it is checked: garbage, forged answers, ICMP errors about
//! other packets, broken headers. It sees our SYNs, and may write any source address. It sends
//! nothing that would count as an answer, except the true one.

mod flooder;
mod forgeries;
mod icmp;
mod ip;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::flooder::{CLOSED, FILTERED, Flooder, OPEN, Record, SILENT};
use self::forgeries::Forgeries;
use crate::faults::{ENGINES, limited};
use crate::support::tun::{Family, TunHost, in_both_families};
use crate::tun_peer::answer::{ACK, Answer, PSH, URG};
use crate::tun_peer::sent::Sent;
use lab::{Outcome, Times, with_own_clock};

in_both_families!(
    a_pool_is_right_among_200_000_forgeries,
    a_single_check_is_right_in_a_flood_of_forgeries,
    a_short_check_is_right_in_a_flood_of_forgeries,
    bare_acks_hide_no_answer,
    a_true_answer_may_come_in_fragments,
);

const PORTS: [u16; 4] = [OPEN, CLOSED, SILENT, FILTERED];

/// Deadlines in seconds: one for the default schedule, which takes seven, and a shorter one.
const LONG: u32 = 20;
const SHORT: u32 = 2;

/// How many kilobytes the program may write to (`RLIMIT_DATA`). A program that stores something for
/// each packet would exceed it.
const MEMORY: u32 = 6 << 10;

fn a_pool_is_right_among_200_000_forgeries(family: Family) {
    // Two attempts for each port, and three for the one that never answers.
    const FLOOD: usize = 200_000_usize.div_ceil(9);
    with_each_engine(|engine| {
        let forgeries = Forgeries::new(family, engine);
        let flooder = Flooder::new(FLOOD, move |syn| forgeries.about(syn));
        let battle = Check { family, engine, timeout: LONG, ports: &PORTS }.of(flooder);
        assert!(battle.record.forgeries >= 200_000 || battle.lasted_to_the_end(), "{battle:#?}");
        battle.assert_true_state();
    });
}

fn a_single_check_is_right_in_a_flood_of_forgeries(family: Family) {
    check_each_in_a_flood(family, LONG, &[OPEN, CLOSED, FILTERED]);
}

fn a_short_check_is_right_in_a_flood_of_forgeries(family: Family) {
    check_each_in_a_flood(family, SHORT, &PORTS);
}

fn check_each_in_a_flood(family: Family, timeout: u32, ports: &[u16]) {
    with_each_engine(|engine| {
        for port in ports.chunks(1) {
            let forgeries = Forgeries::new(family, engine);
            let flooder = Flooder::new(5000, move |syn| forgeries.about(syn));
            Check { family, engine, timeout, ports: port }.of(flooder).assert_true_state();
        }
    });
}

/// Only the endpoints prove such an ACK. With a raw socket it means that the server holds an old
/// connection, if nothing else arrives. The kernel's handshake ignores it.
fn bare_acks_hide_no_answer(family: Family) {
    let acks = |syn: &Sent| {
        let numbers = (0..100_u32).map(|n| n.wrapping_mul(0x0123_4567));
        let ack = |flags, number| Answer { flags, ..syn.bare_ack(number) }.packet();
        let with = |number| [ACK, ACK | PSH, ACK | PSH | URG].map(|flags| ack(flags, number));
        numbers.flat_map(with).collect()
    };
    with_each_engine(|engine| {
        for port in PORTS.chunks(1) {
            let check = Check { family, engine, timeout: SHORT, ports: port };
            let battle = check.of(Flooder::new(2000, acks));
            if (engine, port) == ("raw", &[SILENT]) {
                battle.assert_state(SILENT, "stale");
            } else {
                battle.assert_true_state();
            }
        }
    });
}

fn a_true_answer_may_come_in_fragments(family: Family) {
    with_each_engine(|engine| {
        for port in [[OPEN], [CLOSED]] {
            let flooder = Flooder::new(0, |_| Vec::new()).in_fragments();
            Check { family, engine, timeout: SHORT, ports: &port }.of(flooder).assert_true_state();
        }
    });
}

/// The checks run side by side, because they mostly wait.
fn with_each_engine(act: impl Fn(&'static str) + Sync) {
    thread::scope(|scope| {
        for engine in ENGINES {
            scope.spawn(|| act(engine));
        }
    });
}

/// A check of some ports of the peer.
#[derive(Debug, Clone, Copy)]
struct Check<'a> {
    family: Family,
    engine: &'static str,
    timeout: u32,
    ports: &'a [u16],
}

/// What the program reported of a hostile peer, and what the peer received from it.
#[derive(Debug)]
struct Battle<'a> {
    check: Check<'a>,
    outcome: Outcome,
    record: Record,
}

impl<'a> Check<'a> {
    fn of(self, flooder: Flooder) -> Battle<'a> {
        let host = TunHost::facing(move |far_end| flooder.live(far_end));
        // Room for everything that a check sends in a flood. What the device drops would be lost on
        // the wire, not by the check.
        host.namespace.configure(&["link set tun0 txqueuelen 50000"]);
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let (peer, timeout) = (self.family.peer().to_string(), self.timeout.to_string());
        let arguments = ["-v", "-t", &timeout, "-H", &peer, "-p", &ports.join(",")];
        let command = with_own_clock(limited("-d", MEMORY, self.engine, &arguments));
        let outcome = host.namespace.outcome(command);
        let record = host.finish();
        Battle { check: self, outcome, record }
    }
}

impl Battle<'_> {
    #[track_caller]
    fn assert_true_state(&self) {
        for port in self.check.ports {
            let state = match *port {
                OPEN => "open",
                CLOSED => "closed",
                _ => "filtered",
            };
            self.assert_state(*port, state);
        }
    }

    /// Asserts that no other state is reported for this port. There may be no verdict if the flood
    /// lasted to the end or displaced answers, and the port may be silent if the peer was too slow
    /// to answer.
    #[track_caller]
    fn assert_state(&self, port: u16, expected: &str) {
        let swept_away = self.outcome.stderr.contains("answers lost");
        let too_late = !self.ended_early() && !self.is_answered_in_time(port);
        match self.state(port).as_deref() {
            None => {
                let nothing_learnt = swept_away || self.lasted_to_the_end();
                assert!((port == SILENT || too_late) && nothing_learnt, "{self:#?}");
            }
            Some("filtered") if too_late => {}
            Some(state) => assert_eq!(state, expected, "{self:#?}"),
        }
        self.assert_sends_nothing_else();
    }

    fn lasted_to_the_end(&self) -> bool {
        self.record.last_forgery.is_some_and(|last| last > self.nearly_over())
    }

    fn is_answered_in_time(&self, port: u16) -> bool {
        let syns = self.record.syns.get(&port).copied().unwrap_or_default();
        let answered = self.record.answered.get(&port);
        answered.is_some_and(|(count, last)| *count == syns && *last < self.nearly_over())
    }

    fn times(&self) -> Times {
        self.outcome.times.expect("a program with a clock of its own")
    }

    /// A packet takes a moment from the tun device to the socket.
    fn nearly_over(&self) -> Instant {
        let last_wait = self.times().last_wait();
        last_wait.checked_sub(Duration::from_millis(500)).expect("the machine has run for longer")
    }

    /// Nothing came too late for a program that did not use its time.
    fn ended_early(&self) -> bool {
        self.times().waited < Duration::from_secs(u64::from(SHORT)) / 2
    }

    #[track_caller]
    fn state(&self, port: u16) -> Option<String> {
        let mut lines = self.outcome.stdout.lines().map(|line| {
            serde_json::from_str::<Value>(line)
                .unwrap_or_else(|error| panic!("no JSON ({error}): {self:#?}"))
        });
        let found = lines.find(|line| line["port"] == port);
        let found = found.unwrap_or_else(|| panic!("no report of port {port}: {self:#?}"));
        found["state"].as_str().map(str::to_owned)
    }

    /// Asserts that the program ends in time, with an exit code, and sends nothing to others,
    /// whatever it receives.
    #[track_caller]
    fn assert_sends_nothing_else(&self) {
        assert!([0, 2, 3].contains(&self.outcome.code), "{self:#?}");
        let limit = Duration::from_secs(u64::from(self.check.timeout)) + Duration::from_millis(100);
        assert!(self.times().waited < limit, "{self:#?}");
        // The kernel's handshake answers forged packets as any kernel does, and so does a kernel
        // whose ports are no longer in use.
        if self.check.engine == "raw" {
            let peer = self.check.family.peer();
            for ((flags, to), (first, _)) in &self.record.sent {
                // A SYN+ACK from somewhere else that acknowledges our SYN calls for an RST, too.
                let ours = (flags == "SYN" || flags == "RST") && *to == peer
                    || flags == "RST" && *to == self.check.family.stranger();
                assert!(ours || *first > self.nearly_over(), "{flags} to {to}: {self:#?}");
            }
        }
    }
}

//! Thousands of targets: the servers, and what the program reports of each.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use serde::Deserialize;
use socket2::{Domain, Socket, Type};

use crate::support::process::wait_until;
use lab::{Lab, Outcome};

/// On every address of the server, this port is open, the next is closed, and the third is silent.
pub(crate) const OPEN: u16 = 80;
pub(crate) const CLOSED: u16 = 81;
pub(crate) const DROPPED: u16 = 82;

/// A lab whose server has all addresses of 198.18.0.0/16 and `2001:db8:1::/64`, with one listener
/// per family.
pub(crate) struct Crowd {
    pub(crate) lab: Lab,
    listeners: [TcpListener; 2],
}

impl Crowd {
    pub(crate) fn new() -> Self {
        Self::of(Lab::new())
    }

    pub(crate) fn of(lab: Lab) -> Self {
        // Room for a handshake with every address at once, and no cookies, which would hide
        // handshakes that were not aborted.
        lab.server.sysctl("net.core.somaxconn", "131072");
        lab.server.sysctl("net.ipv4.tcp_max_syn_backlog", "262144");
        lab.server.sysctl("net.ipv4.tcp_syncookies", "0");
        lab.server.nft(&format!(
            "table inet silence {{ chain in {{ type filter hook input priority 0; tcp dport {DROPPED} drop; }}; }}"
        ));
        let listeners = ["0.0.0.0", "::"].map(|any| listen(&lab, any));
        Self { lab, listeners }
    }

    /// Runs the program with `-o json`.
    pub(crate) fn check(&self, arguments: &[&str]) -> Findings {
        Findings::of(&self.lab.check(&[&["-o", "json"], arguments].concat()))
    }

    /// Accepts all connections, so that they are not counted for a later check.
    pub(crate) fn accept_all(&self) {
        for listener in &self.listeners {
            while listener.accept().is_ok() {}
        }
    }

    /// Asserts that every handshake has been aborted: no connection is half-open any more, and none
    /// was accepted. The last RSTs may have left a moment ago. RSTs of the kernel would come later
    /// than that, after a second, when the server repeats its SYN+ACK.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        let repeated = || self.lab.server.run("nstat", &["-asz", "TcpExtTCPSynRetrans"]);
        let before = repeated();
        wait_until(|| self.lab.server.run("ss", &["-Htan", "state", "syn-recv"]).is_empty());
        assert_eq!(repeated(), before, "connections stay half-open until the server tries again");
        for listener in &self.listeners {
            let error = listener.accept().expect_err("accept() must have nothing to take");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    }
}

fn listen(lab: &Lab, any: &str) -> TcpListener {
    let address = SocketAddr::new(any.parse().expect("an address"), OPEN);
    lab.server.enter(|| {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a TCP socket");
        if address.is_ipv6() {
            socket.set_only_v6(true).expect("an IPv6 socket");
        }
        socket.bind(&address.into()).expect("a free port");
        socket.listen(131_072).expect("listens");
        socket.set_nonblocking(true).expect("a socket of ours");
        socket.into()
    })
}

/// What the program reported of each target, in the order of the verdicts, and how it ended.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) all: Vec<Finding>,
    pub(crate) summary: Summary,
    pub(crate) code: i32,
}

/// A line of `-o json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Finding {
    pub(crate) target: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) state: Option<String>,
    pub(crate) reason: String,
    pub(crate) status: String,
    pub(crate) rtt: Option<f64>,
    pub(crate) tries: Option<u64>,
}

/// The last line of `-o json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Summary {
    pub(crate) targets: usize,
    pub(crate) open: usize,
    pub(crate) closed: usize,
    pub(crate) filtered: usize,
    pub(crate) unreachable: usize,
    pub(crate) unknown: usize,
    pub(crate) not_probed: usize,
    pub(crate) status: String,
}

#[derive(Deserialize)]
struct Closing {
    summary: Summary,
}

impl Findings {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let (targets, closing) = outcome
            .stdout
            .trim_end()
            .rsplit_once('\n')
            .unwrap_or_else(|| panic!("targets and a summary, not {outcome:?}"));
        let Closing { summary } = serde_json::from_str(closing)
            .unwrap_or_else(|error| panic!("no summary ({error}): {closing}"));
        let all = lines(targets);
        Self { all, summary, code: outcome.code }
    }

    /// Returns how many ended in this state.
    pub(crate) fn count(&self, state: &str) -> usize {
        self.all.iter().filter(|finding| finding.state.as_deref() == Some(state)).count()
    }

    /// Returns the finding of a target, by its name as it was written.
    #[track_caller]
    pub(crate) fn of_target(&self, target: &str) -> &Finding {
        let mut found = self.all.iter().filter(|finding| finding.target == target);
        let (first, more) = (found.next(), found.next());
        assert!(more.is_none(), "{target} is reported twice");
        first.unwrap_or_else(|| panic!("no report of {target}"))
    }

    /// Asserts that every expected endpoint is reported once, in its state, and no other.
    #[track_caller]
    pub(crate) fn assert_states(&self, expected: impl Iterator<Item = (SocketAddr, &'static str)>) {
        let mut missing: HashMap<_, _> = expected.collect();
        let total = missing.len();
        let mut wrong: Vec<String> = Vec::new();
        for finding in &self.all {
            let address = finding.address.expect("targets are addresses here");
            let expected = missing.remove(&SocketAddr::new(address, finding.port));
            if expected.is_none() || finding.state.as_deref() != expected {
                wrong.push(format!("{finding:?}, expected: {expected:?}"));
            }
        }
        assert!(
            wrong.is_empty() && missing.is_empty(),
            "{} wrong of {total}, first {:#?}; of {} nothing is said, as {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(3)],
            missing.len(),
            missing.iter().next()
        );
        assert_eq!((self.summary.targets, self.all.len()), (total, total));
    }
}

/// Reads the findings in whole lines of `-o json`.
pub(crate) fn lines(text: &str) -> Vec<Finding> {
    let read = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no target ({error}): {line}"))
    };
    text.lines().map(read).collect()
}

/// Returns `count` addresses from `first` on, each with a port and the state of that port on the
/// server.
pub(crate) fn expected(
    first: &str,
    count: u32,
    ports: &'static [u16],
) -> impl Iterator<Item = (SocketAddr, &'static str)> {
    let first: IpAddr = first.parse().expect("an address");
    (0..count).flat_map(move |offset| {
        let address: IpAddr = match first {
            IpAddr::V4(first) => IpAddr::V4((u32::from(first) + offset).into()),
            IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(offset)).into()),
        };
        ports.iter().map(move |port| (SocketAddr::new(address, *port), state(*port)))
    })
}

fn state(port: u16) -> &'static str {
    match port {
        OPEN => "open",
        CLOSED => "closed",
        DROPPED => "filtered",
        other => panic!("port {other} has no state here"),
    }
}

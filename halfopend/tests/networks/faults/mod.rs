//! Faults of this machine and of its own network: under none of them is a target that is alive ever
//! advertised as down, and the dead are found as soon as the fault is over, or in spite of it.

mod local;
mod process;

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, Files, wait_until};
use lab::{Captured, Direction, Lab};

pub(crate) const ENGINES: [&str; 2] = ["raw", "connect"];

/// Targets in two networks and more of each family, that are alive.
const ALIVE: [&str; 7] = [
    "198.18.0.1:8025",
    "198.18.1.1:8025",
    "198.18.2.1:8025",
    "198.19.0.2:8025",
    "[2001:db8:1::1]:8025",
    "[2001:db8:1::2]:8025",
    "[2001:db8::2]:8025",
];

/// Targets among them that die when a test wants it.
const MORTAL: [&str; 2] = ["198.18.1.9:8026", "[2001:db8:1::9]:8026"];

/// The daemon, and its servers.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) daemon: Daemon,
    seen: usize,
    _files: Files,
    _listeners: Vec<TcpListener>,
}

impl Stage {
    /// Starts the daemon with an engine, and waits until all targets are up. `wrap` may change how
    /// it is started.
    pub(crate) fn new(engine: &str, wrap: impl FnOnce(Command) -> Command) -> Self {
        let lab = Lab::new();
        let listen = |address: &str| lab.server.listen(address.parse::<SocketAddr>().expect("one"));
        let listeners = ["[::]:8025", "[::]:8026"].map(listen).into(); // for IPv4 too
        let files = Files::new(&format!(
            "engine = {engine:?}\n\
             [pool.all]\n\
             targets = {:?}\n\
             interval = \"1s\"\n\
             transition_interval = \"500ms\"\n\
             down_interval = \"1s\"\n\
             timeout = \"700ms\"\n\
             retries = 2\n",
            [&ALIVE[..], &MORTAL[..]].concat()
        ));
        let daemon = Daemon::of(&lab.client, wrap(files.command(&[])));
        let mut stage = Self { lab, daemon, seen: 0, _files: files, _listeners: listeners };
        for target in ALIVE.iter().chain(&MORTAL) {
            stage.daemon.until(0, "up", target);
        }
        stage.seen = stage.daemon.events().len();
        stage
    }

    /// Returns the events since all targets were up.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.daemon.events().split_off(self.seen)
    }

    /// Waits until this is true of the events since all targets were up.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&[Value]) -> bool) {
        wait_until(what, || {
            let ended = self.daemon.running.child.try_wait().expect("waits for its own child");
            assert!(ended.is_none(), "the daemon ended, {ended:?}: {:#?}", self.events());
            is_so(&self.events())
        });
    }

    /// Waits until everything, or every target that is alive, is held because of a fault; or until
    /// this machine is isolated.
    pub(crate) fn until_hidden(&mut self) {
        self.until("all are held", |events| {
            count(events, "isolated") > count_all_released(events)
                || ALIVE.iter().all(|target| is_held(events, target))
        });
    }

    /// Waits until nothing is held any more.
    pub(crate) fn until_shown(&mut self) {
        self.until("nothing is held", |events| {
            count(events, "isolated") == count_all_released(events)
                && ALIVE.iter().chain(&MORTAL).all(|target| !is_held(events, target))
        });
    }

    /// Lets some targets die, and waits until each is down. Returns how many checks of each that
    /// took.
    pub(crate) fn kill_the_mortal(&mut self) -> Vec<usize> {
        let capture = self.lab.client.capture("client0");
        self.lab.server.nft(
            "table inet dead { chain in { type filter hook input priority 0; tcp dport 8026 drop; }; }",
        );
        self.until("the dead are down", |events| {
            MORTAL.iter().all(|target| newest(events, target).is_some_and(|it| it["to"] == "down"))
        });
        let events = self.events();
        let segments = capture.segments();
        MORTAL.iter().map(|target| checks_until_down(&segments, &events, target)).collect()
    }

    /// Checks that no target that is alive was ever advertised as anything but up.
    pub(crate) fn judge(&self) {
        let events = self.events();
        for target in ALIVE {
            for event in events.iter().filter(|event| event["target"] == target) {
                assert_eq!(event["advertised"], "up", "{event:#?} of {events:#?}");
                assert_eq!(event["to"], "up", "{event:#?} of {events:#?}");
            }
        }
        for target in MORTAL {
            let down = events.iter().filter(|event| event["target"] == target);
            let down: Vec<_> = down.filter(|event| event["event"] == "down").collect();
            assert_eq!(down.len(), 1, "{down:#?}");
            assert_eq!((&down[0]["state"], &down[0]["count"]), (&"filtered".into(), &3.into()));
        }
    }
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["event"] == kind).count()
}

fn count_all_released(events: &[Value]) -> usize {
    let all = events.iter().filter(|event| event["target"].is_null());
    all.filter(|event| event["event"] == "released").count()
}

fn newest<'a>(events: &'a [Value], target: &str) -> Option<&'a Value> {
    events.iter().rev().find(|event| event["target"] == target)
}

fn is_held(events: &[Value], target: &str) -> bool {
    newest(events, target).is_some_and(|event| event["held"] == true)
}

/// Returns how many checks of the target there were until it was down: the SYNs with a sequence
/// number of their own, of which each check has two, or one if the kernel sends them.
fn checks_until_down(segments: &[Captured], events: &[Value], target: &str) -> usize {
    let endpoint: SocketAddr = target.parse().expect("an endpoint");
    let syns = segments.iter().filter(|segment| {
        segment.flags == "SYN"
            && segment.direction == Direction::Out
            && (segment.destination, segment.destination_port) == (endpoint.ip(), endpoint.port())
    });
    let down = newest(events, target).expect("it is down");
    let time: jiff::Timestamp = down["time"].as_str().expect("a time").parse().expect("RFC 3339");
    let until = time.as_nanosecond() + 1_000_000;
    let syns = syns.filter(|syn| i128::try_from(syn.time.as_nanos()).is_ok_and(|at| at <= until));
    // A pause longer than the longest within a check, 400 ms, begins a new one.
    let mut times: Vec<_> = syns.map(|syn| syn.time).collect();
    times.dedup_by(|next, before| next.saturating_sub(*before).as_millis() < 450);
    times.len()
}

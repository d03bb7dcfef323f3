//! A network that loses packets: states change exactly as rise and fall say of the answers that
//! the capture shows, and as often as arithmetic predicts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Files, wait_until};
use lab::{Captured, Direction, Lab};

const TIMEOUT: Duration = Duration::from_millis(500);

/// Rise and fall.
const ENOUGH: usize = 2;

/// Each port loses so many SYNs of a hundred.
const LOSS: [(u16, f64); 2] = [(8025, 0.2), (8026, 0.05)];

/// How long the daemon runs.
const TRIAL: Duration = Duration::from_secs(15);

/// A check: when its only SYN left, and whether it was answered in time. `None` if the answer came
/// at about the end of that time.
type Check = (Duration, Option<bool>);

#[test]
fn states_change_as_often_as_loss_explains() {
    let (segments, events) = trial();
    let answers: Vec<_> = segments.iter().filter(|it| is_answer(it)).map(|it| it.time).collect();
    let checks = checks(&segments);
    for (port, loss) in LOSS {
        let of_port = checks.iter().filter(|(endpoint, _)| endpoint.port() == port);
        let judged: Vec<_> =
            of_port.map(|(at, checks)| judge(*at, checks, &answers, &events)).collect();
        assert_eq!(judged.len(), 256, "all targets are checked");
        let [mut made, mut lost, mut falls, mut expected, mut variance] = [0.0; 5];
        for (checks, silent, fell) in judged {
            let (mean, spread) = falls_of(checks, loss);
            made += count(checks);
            lost += count(silent);
            falls += count(fell);
            expected += mean;
            variance += spread;
        }
        println!("{port}: lost {lost} of {made}, {falls} falls, {expected:.1} expected");
        let deviation = (made * loss * (1.0 - loss)).sqrt();
        assert!((lost - made * loss).abs() < 6.0 * deviation, "{lost} of {made} SYNs were lost");
        assert!((falls - expected).abs() < 6.0 * variance.sqrt() + 1.0, "{falls}, not {expected}");
    }
}

/// Runs the daemon on a lossy network. Returns what crossed its interface, and its events.
fn trial() -> (Vec<Captured>, Vec<Value>) {
    let lab = Lab::new();
    let _listeners = ["[::]:8025", "[::]:8026"]
        .map(|address| lab.server.listen(address.parse().expect("an endpoint")));
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; \
         tcp dport 8025 tcp flags & (syn | ack) == syn numgen random mod 100 < 20 drop; \
         tcp dport 8026 tcp flags & (syn | ack) == syn numgen random mod 100 < 5 drop; }; }",
    );
    let files = Files::new(
        "engine = \"raw\"\nexplain = false\n[pool.lossy]\n\
         targets = [\"198.18.0.0/25:8025,8026\", \"198.18.1.0/26:8025,8026\", \
         \"[2001:db8:1::/122]:8025,8026\"]\n\
         interval = \"1s\"\ntransition_interval = \"1s\"\ndown_interval = \"1s\"\n\
         timeout = \"500ms\"\nretries = 0\nrise = 2\nfall = 2\n",
    );
    let capture = lab.client.capture("client0");
    let mut segments = Vec::new();
    let mut daemon = Daemon::start(&lab.client, &files);
    let end = Instant::now() + TRIAL;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        segments.extend(capture.segments_until_now());
    }
    daemon.signal(Signal::SIGTERM);
    wait_until("the end", || daemon.running.child.try_wait().expect("its child").is_some());
    segments.extend(capture.segments());
    (segments, daemon.events())
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("few"))
}

fn is_answer(segment: &Captured) -> bool {
    segment.direction == Direction::In && segment.flags == "SYN+ACK"
}

/// Returns the checks of each target, in order.
fn checks(segments: &[Captured]) -> HashMap<SocketAddr, Vec<Check>> {
    let mut answered = HashMap::new();
    for segment in segments.iter().filter(|segment| is_answer(segment)) {
        let local = segment.destination_port;
        let remote = SocketAddr::new(segment.source, segment.source_port);
        answered.entry((remote, local, segment.ack)).or_insert(segment.time);
    }
    let mut checks = HashMap::<_, Vec<_>>::new();
    let is_syn = |it: &&Captured| it.direction == Direction::Out && it.flags == "SYN";
    for syn in segments.iter().filter(is_syn) {
        let remote = SocketAddr::new(syn.destination, syn.destination_port);
        let answer = answered.get(&(remote, syn.source_port, syn.seq.wrapping_add(1)));
        let in_time = answer.map_or(Some(false), |at| {
            let after = at.saturating_sub(syn.time);
            let is_clear = after < TIMEOUT * 4 / 5 || after > TIMEOUT * 6 / 5;
            is_clear.then_some(after < TIMEOUT)
        });
        checks.entry(remote).or_default().push((syn.time, in_time));
    }
    checks
}

/// Compares the transitions of a target with what its answers say. Returns how many checks there
/// were, how many of them were silent, and how often it fell.
fn judge(
    endpoint: SocketAddr,
    checks: &[Check],
    answers: &[Duration],
    events: &[Value],
) -> (usize, usize, usize) {
    let name = endpoint.to_string();
    let of_target = events.iter().filter(|event| event["target"] == *name);
    let kinds = of_target.filter_map(|event| event["event"].as_str());
    let told: Vec<_> = kinds.filter(|kind| ["up", "down"].contains(kind)).collect();
    let mut expected = Vec::new();
    let mut in_a_row = 0;
    let mut clear = true;
    for (begun, is_open) in checks {
        let was_heard =
            answers.iter().any(|at| (*begun + TIMEOUT / 2..=*begun + TIMEOUT).contains(at));
        let says = match is_open {
            Some(true) => "up",
            Some(false) if was_heard => "down",
            Some(false) => continue,
            None => {
                clear = false;
                break;
            }
        };
        let state = expected.last().copied();
        in_a_row = if state == Some(says) { 0 } else { in_a_row + 1 };
        if state.is_none() || in_a_row >= ENOUGH {
            expected.push(says);
            in_a_row = 0;
        }
    }
    // The last check may not have ended.
    let is_same = told == expected || expected.split_last().is_some_and(|(_, most)| told == most);
    assert!(!clear || is_same, "{name}: {told:?}, not {expected:?}: {checks:?}");
    let silent = checks.iter().filter(|(_, is_open)| *is_open == Some(false)).count();
    (checks.len(), silent, told.iter().filter(|kind| **kind == "down").count())
}

/// Returns the mean and the variance of the number of falls in so many checks, each of which is
/// lost with this probability.
fn falls_of(checks: usize, loss: f64) -> (f64, f64) {
    // By state (up, up after a bad check, down, down after a good one) and number of falls.
    let mut chances = HashMap::from([((0, 0), 1.0 - loss), ((2, 1), loss)]);
    for _ in 1..checks {
        let mut next = HashMap::new();
        for ((state, falls), chance) in chances {
            let (good, bad) = match state {
                0 => ((0, falls), (1, falls)),
                1 => ((0, falls), (2, falls + 1)),
                2 => ((3, falls), (2, falls)),
                _ => ((0, falls), (2, falls)),
            };
            *next.entry(good).or_insert(0.0) += chance * (1.0 - loss);
            *next.entry(bad).or_insert(0.0) += chance * loss;
        }
        chances = next;
    }
    let moment = |power: i32| -> f64 {
        chances.iter().map(|((_, falls), chance)| f64::from(*falls).powi(power) * chance).sum()
    };
    (moment(1), moment(2) - moment(1).powi(2))
}

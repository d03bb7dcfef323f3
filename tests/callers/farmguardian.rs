//! The farm guardian of ZEVENET, Relianoid and Skudonet, imitated in its own language by its own
//! rules.

use crate::installed::{Installed, here, replaced, snippet};
use crate::pool::Pool;
use lab::{Outcome, with_own_clock};

const BACKENDS: [&str; 6] = [
    "198.18.0.7,25,513",
    "198.18.0.8,25,514",
    "198.18.0.9,25,515",
    "2001:db8:1::7,25,516",
    "2001:db8:1::8,25,517",
    "2001:db8:1::9,25,518",
];

#[test]
fn an_open_backend_is_up_a_closed_or_silent_one_is_down() {
    let pool = Pool::new();
    let round = round(&pool, &Installed::new(), "");
    assert_eq!(round.stdout, "up\ndown\ndown\nup\ndown\ndown\n");
    // One backend after another, and no more than two seconds for each.
    assert!(round.elapsed.as_secs_f64() >= 4.0, "{round:?}");
    round.assert_waited_at_most(2.05);
}

/// Their own time does not end a check.
#[test]
fn explanations_make_no_round_longer_and_change_no_state() {
    let pool = Pool::new();
    let configuration = replaced(&snippet("farmguardian.conf"), "-t 2", "-t 2 --explain");
    let round = round_of(&pool, &Installed::new(), &configuration, "");
    assert_eq!(round.stdout, "up\ndown\ndown\nup\ndown\ndown\n");
    round.assert_waited_at_most(2.05);
}

/// The firewall drops everything that is not marked.
#[test]
fn every_packet_of_a_marked_farm_has_its_backends_mark() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let hook = installed.library("mark");
    pool.lab.client.nft(
        "table inet marks { chain out { type filter hook output priority 0; tcp dport 25 meta mark != { 513-518 } drop; }; }",
    );

    let capture = pool.lab.server.capture("server0");
    assert_eq!(round(&pool, &installed, &hook).stdout, "up\ndown\ndown\nup\ndown\ndown\n");
    let crossed: Vec<_> = capture.segments().into_iter().map(|segment| segment.flags).collect();
    for flags in ["SYN+ACK", "RST"] {
        assert_eq!(crossed.iter().filter(|crossed| *crossed == flags).count(), 2, "{crossed:?}");
    }

    assert_eq!(round(&pool, &installed, "").stdout, "down\n".repeat(BACKENDS.len()));
}

/// Checks each backend once. `preload` is the hook that marks, or empty.
fn round(pool: &Pool, installed: &Installed, preload: &str) -> Outcome {
    round_of(pool, installed, &snippet("farmguardian.conf"), preload)
}

fn round_of(pool: &Pool, installed: &Installed, configuration: &str, preload: &str) -> Outcome {
    let configuration = installed.write("farmguardian.conf", configuration);
    let harness = here().join("farmguardian.pl");
    let words = [
        "perl",
        harness.to_str().expect("plain letters"),
        configuration.to_str().expect("plain letters"),
        "check_tcp_half_open",
        preload,
    ];
    let guardian = installed.command(&[&words[..], &BACKENDS].concat());
    let outcome = pool.lab.client.outcome(with_own_clock(guardian));
    assert_eq!(outcome.code, 0, "needs Config::Tiny (libconfig-tiny-perl): {outcome:?}");
    outcome
}

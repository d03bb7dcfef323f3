//! Checks by the kernel's handshake of a peer that follows a script.

use std::net::SocketAddr;

use nix::unistd::Pid;

use crate::support::tun::Family;
use crate::tun_peer::scenario::{Injection, PORT, Scenario};
use crate::tun_peer::sent::Sent;
use lab::{Outcome, Verdict, halfopen};

/// The second attempt leaves 0.5 s after the first, before the kernel repeats that one.
pub(crate) const SHORT: &[&str] = &["-t", "3.5"];

/// Checks the peer. Returns the verdict, and every segment that left this side. The script is given
/// the SYNs of the attempts alone.
pub(crate) fn check(
    family: Family,
    options: &[&str],
    script: impl FnMut(&[Sent]) -> Vec<Injection> + Send + 'static,
) -> (Verdict, Vec<Sent>) {
    let peer = SocketAddr::new(family.peer(), PORT).to_string();
    let (outcome, sent) = run(family, &[options, &[&peer]].concat(), of_attempts(script));
    (outcome.verdict(), sent)
}

/// A script that is given the SYNs of the attempts, without those that the kernel repeats. It does
/// that after a second of the machine's clock, which is sooner for the program if the machine is
/// busy.
pub(crate) fn of_attempts(
    mut script: impl FnMut(&[Sent]) -> Vec<Injection>,
) -> impl FnMut(&[Sent]) -> Vec<Injection> {
    let mut known = 0;
    move |syns| {
        let attempts = Sent::unrepeated(syns);
        let is_new = attempts.len() > std::mem::replace(&mut known, attempts.len());
        if is_new { script(&attempts) } else { Vec::new() }
    }
}

pub(crate) fn run(
    family: Family,
    arguments: &[&str],
    script: impl FnMut(&[Sent]) -> Vec<Injection> + Send + 'static,
) -> (Outcome, Vec<Sent>) {
    let command = halfopen(&[&["--engine", "connect", "-o", "json"], arguments].concat());
    Scenario::new(family).on_syn(script).play(|namespace, program| {
        let running = namespace.spawn(command);
        let pid = Pid::from_raw(running.child.id().cast_signed());
        program.set(pid).expect("one program a scenario");
        running.wait()
    })
}

/// Returns the flags of what was sent, without the SYNs that the kernel has repeated.
pub(crate) fn flags(sent: &[Sent]) -> Vec<String> {
    Sent::unrepeated(sent).iter().map(Sent::flag_names).collect()
}

/// Asserts that there were so many attempts, and that all are counted. The kernel's repetitions may
/// be counted, too.
#[track_caller]
pub(crate) fn assert_tries(verdict: &Verdict, sent: &[Sent], attempts: usize) {
    let count = |sent: &[Sent]| sent.iter().filter(|sent| sent.is_syn()).count();
    assert_eq!(count(&Sent::unrepeated(sent)), attempts, "{sent:#?}");
    let tries = verdict.tries.and_then(|tries| tries.try_into().ok()).expect("a number");
    assert!((attempts..=count(sent)).contains(&tries), "{verdict:?}: {sent:#?}");
}

/// Returns the round-trip time of the answer to this SYN. If the kernel has repeated the SYN there
/// is none, because it is unknown which of them was answered.
#[track_caller]
pub(crate) fn round_trip(verdict: &Verdict, sent: &[Sent], syn: &Sent) -> Option<f64> {
    let is_repeated = sent.iter().filter(|other| other.is_same_syn(syn)).count() > 1;
    assert_eq!(verdict.rtt.is_none(), is_repeated, "{verdict:?}: {sent:#?}");
    verdict.rtt
}

//! Checks by the kernel's handshake of a peer that follows a script.

use std::net::SocketAddr;

use nix::unistd::Pid;

use crate::support::tun::Family;
use crate::tun_peer::scenario::{Injection, PORT, Scenario};
use crate::tun_peer::sent::Sent;
use lab::{Outcome, Verdict, halfopen};

/// The second attempt leaves 0.5 s after the first, before the kernel repeats that one.
pub(crate) const SHORT: &[&str] = &["-t", "3.5"];

/// Checks the peer. Returns the verdict, and every segment that left this side.
pub(crate) fn check(
    family: Family,
    options: &[&str],
    script: impl FnMut(&[Sent]) -> Vec<Injection> + Send + 'static,
) -> (Verdict, Vec<Sent>) {
    let peer = SocketAddr::new(family.peer(), PORT).to_string();
    let (outcome, sent) = run(family, &[options, &[&peer]].concat(), script);
    (outcome.verdict(), sent)
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

pub(crate) fn flags(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::flag_names).collect()
}

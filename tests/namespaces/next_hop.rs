//! A neighbour that appears during the check, when the kernel has just given it up.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;

use crate::support::process::wait_until;
use lab::{Lab, Running, halfopen};

/// Tells when the kernel gives up a neighbour.
struct Monitor<'a> {
    lab: &'a Lab,
    running: Running,
}

impl<'a> Monitor<'a> {
    fn of(lab: &'a Lab) -> Self {
        let mut command = Command::new("ip");
        command.args(["monitor", "neigh"]);
        let monitor = Self { lab, running: lab.client.spawn(command) };
        let probe = "neigh replace 198.19.0.250 lladdr 02:00:00:00:00:01 dev client0";
        wait_until(|| {
            lab.client.configure(&[probe, "neigh del 198.19.0.250 dev client0"]);
            monitor.running.said().contains("198.19.0.250")
        });
        monitor
    }

    /// Gives the server that address when the kernel of the client has given it up.
    fn add_when_given_up(&self, address: &str) {
        let given_up = format!("{address} dev client0 FAILED");
        wait_until(|| self.running.said().lines().any(|line| line.trim_end() == given_up));
        let (length, options) = if address.contains(':') { (64, "nodad") } else { (24, "") };
        let add = format!("address add {address}/{length} dev server0 {options}");
        self.lab.server.configure(&[&add]);
    }
}

/// All SYNs that have left by then are lost: the last one leaves again. The schedule has four more
/// seconds.
#[test]
fn a_neighbour_that_appears_when_the_kernel_has_given_up_is_found() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80));
    let monitor = Monitor::of(&lab);
    let checks = [
        ("raw", "198.19.0.91"),
        ("connect", "198.19.0.92"),
        ("raw", "2001:db8::91"),
        ("connect", "2001:db8::92"),
    ];
    let check = |(engine, address)| {
        lab.client.spawn(halfopen(&["--engine", engine, "-o", "json", address, "80"]))
    };
    let running = checks.map(check);
    for (_, address) in checks {
        monitor.add_when_given_up(address);
    }
    for (check, (engine, _)) in running.into_iter().zip(checks) {
        let verdict = check.wait().verdict();
        assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
    }
}

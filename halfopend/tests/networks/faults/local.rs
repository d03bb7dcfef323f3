//! The network of this machine: its link, its routes, its firewall.

use std::cell::RefCell;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{ENGINES, Stage};
use lab::Lab;

/// Lets the fault happen, waits until it is noticed, ends it, and waits until that is noticed.
fn assert_hides(fault: impl Fn(&Lab), end: impl Fn(&Lab)) {
    for engine in ENGINES {
        let mut stage = Stage::new(engine, |command| command);
        fault(&stage.lab);
        stage.until_hidden();
        end(&stage.lab);
        stage.until_shown();
        let checks = stage.kill_the_mortal();
        println!("{engine}: down after {checks:?} checks");
        stage.judge();
    }
}

/// The same for a firewall of this machine, with a rule for what comes in or goes out.
fn assert_firewall_hides(hook: &str, rule: &str) {
    let rules =
        format!("table inet t {{ chain c {{ type filter hook {hook} priority 0; {rule}; }}; }}");
    assert_hides(|lab| lab.client.nft(&rules), |lab| lab.client.nft("delete table inet t"));
}

#[test]
fn a_link_that_is_down() {
    let set = |state: &str| {
        let command = format!("link set client0 {state}");
        move |lab: &Lab| lab.client.configure(&[&command])
    };
    assert_hides(set("down"), |lab| {
        set("up")(lab);
        lab.client.address("client0", &["2001:db8::1/64"]); // lost with the link
        lab.client.configure(&[
            "route replace 198.18.0.0/16 via 198.19.0.2",
            "route replace 2001:db8:1::/64 via 2001:db8::2",
        ]);
    });
}

#[test]
fn a_link_that_is_down_at_the_other_end() {
    let set = |state: &str| {
        let command = format!("link set server0 {state}");
        move |lab: &Lab| lab.server.configure(&[&command])
    };
    assert_hides(set("down"), |lab| {
        set("up")(lab);
        lab.server.address("server0", &["2001:db8::2/64"]);
    });
}

#[test]
fn a_firewall_of_this_machine_that_drops_what_leaves() {
    assert_firewall_hides("output", "tcp flags & (syn | rst) == syn drop");
}

#[test]
fn a_firewall_of_this_machine_that_rejects_what_leaves() {
    assert_firewall_hides(
        "output",
        "tcp flags & (syn | rst) == syn reject with icmpx type admin-prohibited",
    );
}

#[test]
fn a_firewall_of_this_machine_that_drops_all_answers() {
    assert_firewall_hides("input", "tcp sport { 8025, 8026 } drop");
}

/// The table of connections has no room for another one, so the kernel drops SYNs that would need
/// an entry. Here a rule limits the connections: the limit of the table itself (`nf_conntrack_max`)
/// is that of the whole machine, and `tests/kernels/conntrack.rs` sets it. The kernel refuses the
/// SYN in the same place and in the same way.
#[test]
fn a_table_of_connections_that_is_full() {
    const ROOM: usize = 3;
    let held = RefCell::new(Vec::new());
    let fill = |lab: &Lab| {
        lab.client.nft(&format!(
            "table inet t {{ chain c {{ type filter hook output priority 0; \
             ct state new tcp dport {{ 8025, 8026 }} ct count over {ROOM} drop; }}; }}"
        ));
        let connect = || TcpStream::connect(("198.19.0.2", 8025)).expect("there is room soon");
        held.borrow_mut().extend((0..ROOM).map(|_| lab.client.enter(connect)));
    };
    assert_hides(fill, |lab| {
        lab.client.nft("delete table inet t");
        held.borrow_mut().clear();
    });
}

/// Without the way to most targets, but not to all: some are held, and the rest goes on.
#[test]
fn a_route_that_is_gone() {
    for engine in ENGINES {
        let mut stage = Stage::new(engine, |command| command);
        stage.lab.client.configure(&["route del 198.18.0.0/16", "route del 2001:db8:1::/64"]);
        stage.until("those behind the routes are held", |events| {
            let far = super::ALIVE.iter().filter(|target| {
                target.starts_with("198.18.") || target.starts_with("[2001:db8:1:")
            });
            far.clone().all(|target| super::is_held(events, target))
        });
        stage.lab.client.configure(&[
            "route add 198.18.0.0/16 via 198.19.0.2",
            "route add 2001:db8:1::/64 via 2001:db8::2",
        ]);
        stage.until_shown();
        stage.kill_the_mortal();
        stage.judge();
    }
}

/// Dead targets fall while others are held. The kernel's handshake is not told what its firewall
/// drops: that is as silent as a firewall elsewhere.
#[test]
fn a_firewall_that_hides_some_targets_does_not_hide_the_dead() {
    for (engine, action) in [("raw", "drop"), ("raw", "reject"), ("connect", "reject")] {
        let mut stage = Stage::new(engine, |command| command);
        stage.lab.client.nft(&format!(
            "table inet t {{ chain out {{ type filter hook output priority 0; \
             ip daddr {{ 198.18.0.1, 198.18.1.1 }} {action}; ip6 daddr 2001:db8:1::1 {action}; }}; }}",
        ));
        let hidden = ["198.18.0.1:8025", "198.18.1.1:8025", "[2001:db8:1::1]:8025"];
        stage.until("some are held", |events| {
            hidden.iter().all(|target| super::is_held(events, target))
        });
        let checks = stage.kill_the_mortal();
        println!("{engine}: down after {checks:?} checks");
        stage.judge();
    }
}

/// The cable is unplugged and plugged in again, for less time than a check takes, and for more.
#[test]
fn an_interface_that_flaps() {
    for engine in ENGINES {
        let mut stage = Stage::new(engine, |command| command);
        for milliseconds in [100, 300, 1000, 2500, 50, 700, 4000, 200] {
            stage.lab.server.configure(&["link set server0 down"]);
            thread::sleep(Duration::from_millis(milliseconds));
            stage.lab.server.configure(&["link set server0 up"]);
            stage.lab.server.address("server0", &["2001:db8::2/64"]);
            thread::sleep(Duration::from_secs(1));
        }
        stage.until_shown();
        stage.kill_the_mortal();
        stage.judge();
    }
}

//! Neither the state nor the exit code nor the reason depends on whether the cause is asked for.

use std::thread;

use super::ENGINES;
use super::explained::explain;
use super::full_queue::FullQueue;
use super::hosts::{Hosts, address, endpoint, filter};
use crate::support::tun::{Family, in_both_families};

in_both_families!(state_reason_and_exit_code_are_the_same);

const RULES: &str = "tcp dport 82 drop; tcp dport 83 tcp flags & (syn | ack) == syn drop;
    tcp dport 84 reject with tcp reset; tcp dport 85 reject;
    tcp dport 86 reject with icmpx type admin-prohibited;
    tcp dport 87 reject with icmpx type host-unreachable;";

fn state_reason_and_exit_code_are_the_same(family: Family) {
    let hosts = Hosts::new();
    filter(&hosts.lab.server, "forward", RULES);
    filter(&hosts.lab.server, "input", RULES);
    let each = hosts.each(family);
    let _listeners = each.map(|(host, _, address)| {
        (host.listen(endpoint(address, 80)), FullQueue::new(host, endpoint(address, 88), 0))
    });
    let mut targets = Vec::new();
    for (_, _, address) in hosts.each(family) {
        let address = address.to_string();
        targets.extend((80..=88).map(|port| [address.clone(), address.clone(), port.to_string()]));
    }
    // The kernel remembers for a while that a host is dead.
    let dead = match family {
        Family::V4 => ["198.19.2.99 198.19.2.98 80", "198.19.0.99 198.19.0.98 80"],
        Family::V6 => ["2001:db8:3::99 2001:db8:3::98 80", "2001:db8::99 2001:db8::98 80"],
    };
    for words in dead {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        targets.push(words.try_into().expect("three words"));
    }
    let nowhere = address(family, "198.19.77.1", "2001:db8:77::1").to_string();
    targets.push([nowhere.clone(), nowhere, "80".to_owned()]);
    thread::scope(|scope| {
        for [address, other, port] in &targets {
            let lab = &hosts.lab;
            scope.spawn(move || {
                for engine in ENGINES {
                    let words = |address| ["-t", "5", "--engine", engine, address, &**port];
                    let explained = explain(&lab.client, &words(&**address));
                    let plain = lab.verdict(&words(&**other));
                    assert_eq!(
                        (explained.state.clone(), &explained.reason, explained.code),
                        (plain.state.clone(), &plain.reason, plain.code),
                        "{engine} {explained:#?}"
                    );
                    assert_eq!(explained.status, plain.status);
                }
            });
        }
    });
}

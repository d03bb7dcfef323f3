//! The owner of the sockets: rules of this machine that match users match the caller, wherever the
//! privilege comes from.

use std::net::{IpAddr, SocketAddr};

use crate::support::caller::Caller;
use crate::support::exchange::assert_half_open;
use crate::support::marked_route::{MARKED_V4, MARKED_V6};
use lab::{CLIENT_V4, CLIENT_V6, Lab, ROUTED_V4, ROUTED_V6, Verdict};

fn raw_check(lab: &Lab, caller: &Caller, server: IpAddr) -> Verdict {
    let words = ["-o", "json", "--engine", "raw", "-t", "5", &server.to_string(), "80"];
    caller.check(lab, &words).verdict()
}

#[test]
fn a_firewall_rule_for_the_caller_holds_with_lent_privilege() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    let callers = Caller::lent(&lab);
    lab.client.nft(&format!(
        "table inet t {{ chain out {{ type filter hook output priority 0; meta skuid {} tcp dport 80 drop; }}; }}",
        callers[0].id
    ));
    for server in [ROUTED_V4, ROUTED_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for caller in &callers {
            let verdict = raw_check(&lab, caller, server);
            assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
            assert!(verdict.reason.starts_with("local firewall refused"), "{verdict:?}");
        }
        assert!(capture.segments().is_empty());
    }
}

#[test]
fn a_routing_rule_for_the_caller_holds_with_lent_privilege() {
    let lab = Lab::new();
    lab.second_cable();
    lab.client.configure(&[
        "route add 198.18.0.0/16 via 198.19.1.2 table 100",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 table 100",
    ]);
    let callers = Caller::lent(&lab);
    let (root, user) = (Caller::root(&lab), callers[0].id);
    for family in ["-4", "-6"] {
        let range = format!("{user}-{user}");
        lab.client.run("ip", &[family, "rule", "add", "uidrange", &range, "lookup", "100"]);
    }
    for (ours, others, server) in
        [(MARKED_V4, CLIENT_V4, ROUTED_V4), (MARKED_V6, CLIENT_V6, ROUTED_V6)]
    {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let (plain, ruled) = (lab.server.capture("server0"), lab.server.capture("server1"));
        for caller in &callers {
            let verdict = raw_check(&lab, caller, server);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
            assert_half_open(&ruled.segments(), ours, server);
        }
        assert!(plain.segments().is_empty(), "nothing leaves by the other way");
        if root.id != user {
            assert_eq!(raw_check(&lab, &root, server).ending(), (Some("open"), 0));
            assert_half_open(&plain.segments(), others, server);
        }
    }
}

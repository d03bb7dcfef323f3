//! A SYN that the kernel has no room for (`ENOBUFS`): a queue of the link that drops it, here by a rule where it leaves.

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::{Direction, Lab, SERVER_V4, SERVER_V6};
use crate::pool::crowd::{Crowd, Finding};

#[test]
fn a_syn_that_is_dropped_once_where_it_leaves_is_sent_again() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    lab.client.nft(
        "table netdev t { chain out { type filter hook egress device client0 priority 0; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        // While the neighbour's address is asked for, a SYN has room.
        assert_eq!(lab.verdict(&[&server.to_string(), "81"]).ending(), (Some("closed"), 2));
        capture.segments();
        lab.client.nft("flush chain netdev t out; add rule netdev t out tcp flags syn numgen inc mod 1000000 0 drop");
        let outcome = lab.check(&["--engine", "raw", "-t", "30", "-v", &server.to_string(), "80"]);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        assert!(outcome.elapsed < Duration::from_secs(15), "not at the deadline: {outcome:#?}");
        assert!(outcome.stdout.contains("1 SYNs postponed"), "{outcome:#?}");
        let syns = capture.segments().into_iter().filter(|segment| segment.flags == "SYN");
        assert_eq!(syns.filter(|syn| syn.direction == Direction::In).count(), 1);
    }
}

/// No matter where they stand among the others.
#[test]
fn targets_whose_syns_are_dropped_where_they_leave_delay_no_other() {
    let crowd = Crowd::new();
    crowd.check(&["198.18.1.1:80,81"]); // finds the neighbour
    crowd.lab.client.nft("table netdev t { chain out { type filter hook egress device client0 priority 0; ip daddr { 198.18.1.0, 198.18.1.90 } drop; }; }");
    for rate in ["0", "10000"] {
        let arguments = ["--engine", "raw", "-t", "5", "--rate", rate, "198.18.1.0/24:80"];
        let mut findings = crowd.check(&arguments);
        let is_dropped =
            |finding: &Finding| ["198.18.1.0:80", "198.18.1.90:80"].contains(&&*finding.target);
        assert_eq!((findings.all.len(), findings.summary.unknown), (256, 2));
        for finding in findings.all.iter().filter(|finding| is_dropped(finding)) {
            assert_eq!(finding.state, None, "{finding:?}");
            assert!(finding.reason.contains("No buffer space"), "{finding:?}");
        }
        findings.all.retain(|finding| !is_dropped(finding));
        assert_eq!(findings.count("open"), 254);
        crowd.assert_nothing_is_left();
    }
}

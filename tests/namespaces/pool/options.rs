//! `--source`, `--dscp`, `--ttl` and `--mark` reach every packet of a pool.

use std::net::IpAddr;

use crate::support::crowd::Crowd;
use crate::support::marked_route::{MARKED_V4, MARKED_V6, lab_with_a_marked_route};
use lab::{Captured, Direction};

/// The number of targets in a pool: enough for batches of SYNs and of RSTs.
const TARGETS: usize = 1024;

#[test]
fn source_dscp_and_ttl_reach_every_syn_and_rst() {
    let crowd = Crowd::new();
    crowd.lab.client.address("client0", &["198.19.0.11/24", "2001:db8::11/64"]);
    for (source, block) in
        [("198.19.0.11", "198.18.0.0/22:80"), ("2001:db8::11", "[2001:db8:1::/118]:80")]
    {
        let capture = crowd.lab.server.capture("server0");
        let options = ["--source", source, "--dscp", "46", "--ttl", "33", "--rate", "0"];
        let findings = crowd.check(&[&options[..], &[block]].concat());
        assert_eq!((findings.summary.open, findings.code), (TARGETS, 0));
        let segments = capture.segments();
        assert_exchanges(&segments, source.parse().expect("an address"));
        for sent in segments.iter().filter(|segment| segment.direction == Direction::In) {
            assert_eq!((sent.dscp, sent.ecn, sent.ttl), (46, 0, 33), "{sent:#?}");
        }
    }
}

#[test]
fn the_mark_reaches_every_syn_and_rst() {
    let crowd = Crowd::of(lab_with_a_marked_route());
    for (source, block) in [(MARKED_V4, "198.18.0.0/22:80"), (MARKED_V6, "[2001:db8:1::/118]:80")] {
        let server = &crowd.lab.server;
        let (plain, marked) = (server.capture("server0"), server.capture("server1"));
        let findings = crowd.check(&["--mark", "7", "--rate", "0", block]);
        assert_eq!((findings.summary.open, findings.code), (TARGETS, 0));
        assert_exchanges(&marked.segments(), source);
        assert!(plain.segments().is_empty(), "nothing leaves by the other way");
        crowd.assert_nothing_is_left();
    }
}

/// Asserts that there are SYN, SYN+ACK and RST for each of the targets, and nothing else.
#[track_caller]
fn assert_exchanges(segments: &[Captured], client: IpAddr) {
    for flags in ["SYN", "SYN+ACK", "RST"] {
        let count = segments.iter().filter(|segment| segment.flags == flags).count();
        assert_eq!(count, TARGETS, "{flags}");
    }
    assert_eq!(segments.len(), 3 * TARGETS);
    for segment in segments {
        let ours = match segment.direction {
            Direction::In => segment.source,
            Direction::Out => segment.destination,
        };
        assert_eq!(ours, client, "{segment:#?}");
    }
}

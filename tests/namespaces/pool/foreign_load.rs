//! Bulk transfers between the same two hosts, both ways, while a pool is checked.

use crate::support::bulk_transfer::BulkTransfer;
use crate::support::crowd::{CLOSED, Crowd, DROPPED, OPEN, expected};
use crate::support::process::wait_until;
use lab::{SERVER_V4, SERVER_V6};

#[test]
fn bulk_transfers_both_ways_confuse_no_pool() {
    let crowd = Crowd::new();
    for server in [SERVER_V4, SERVER_V6] {
        let transfers =
            [BulkTransfer::start(&crowd.lab, server), BulkTransfer::back(&crowd.lab, server)];
        wait_until(|| transfers.iter().all(|transfer| transfer.bytes() > 0));
        let before = transfers.each_ref().map(BulkTransfer::bytes);
        let findings = crowd.check(&[
            "-t",
            "20",
            "198.18.0.0/20:80,81",
            "198.18.0.0/22:82",
            "[2001:db8:1::/118]:80,81,82",
        ]);
        findings.assert_states(
            expected("198.18.0.0", 4096, &[OPEN, CLOSED])
                .chain(expected("198.18.0.0", 1024, &[DROPPED]))
                .chain(expected("2001:db8:1::", 1024, &[OPEN, CLOSED, DROPPED])),
        );
        for (transfer, before) in transfers.iter().zip(before) {
            let megabytes = (transfer.bytes() - before) >> 20;
            assert!(megabytes > 100, "{megabytes} MB beside the pool are no load");
        }
        crowd.assert_nothing_is_left();
    }
}

/// Data from the probed host arrives in segments of up to 64 KiB. If they arrived before the packet
/// filter is in place, a few of them would fill the raw socket's queue, and the answer would be
/// lost.
#[test]
fn data_from_the_probed_host_costs_no_check_its_answer() {
    let crowd = Crowd::new();
    for server in [SERVER_V4, SERVER_V6] {
        let transfer = BulkTransfer::back(&crowd.lab, server);
        wait_until(|| transfer.bytes() > 0);
        let before = transfer.bytes();
        let target = server.to_string();
        let mut second_syns = 0;
        for _ in 0..100 {
            let verdict = crowd.lab.verdict(&["-t", "7", &target, "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
            second_syns += u32::from(verdict.tries > Some(1));
        }
        assert!(second_syns <= 5, "{second_syns} of 100 checks needed a second SYN");
        let megabytes = (transfer.bytes() - before) >> 20;
        assert!(megabytes > 100, "{megabytes} MB beside the checks are no load");
    }
}

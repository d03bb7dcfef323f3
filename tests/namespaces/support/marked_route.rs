//! A second cable, which only marked packets may take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::Lab;

pub(crate) const MARKED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 1, 1));
pub(crate) const MARKED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1));

/// The lab with a second cable, client1 to server1, for packets with mark 7 or 0x80000001.
pub(crate) fn lab_with_a_marked_route() -> Lab {
    let lab = Lab::new();
    lab.second_cable();
    lab.client.configure(&[
        "route add 198.18.0.0/16 via 198.19.1.2 table 100",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 table 100",
    ]);
    for mark in ["7", "0x80000001"] {
        for family in ["-4", "-6"] {
            lab.client.run("ip", &[family, "rule", "add", "fwmark", mark, "lookup", "100"]);
        }
    }
    lab
}

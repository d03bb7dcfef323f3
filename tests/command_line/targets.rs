//! The endpoints of a written target.

use std::net::{IpAddr, SocketAddr};

use halfopen::target::{Hosts, Ports, Target, TargetError};
use proptest::prelude::*;

#[test]
fn a_host_and_a_port_are_distinguished() {
    for (text, host, port) in [
        ("192.0.2.7:25", "192.0.2.7", 25),
        ("[2001:db8::7]:443", "2001:db8::7", 443),
        ("mail.example.com:65535", "mail.example.com", 65_535),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("[::ffff:192.0.2.7]:25", "192.0.2.7", 25),
        ("my_host-1:8080", "my_host-1", 8080),
        ("bücher.example:80", "bücher.example", 80),
        ("198.18.0.0/24:80", "198.18.0.0/24", 80),
        ("[2001:db8:1::/120]:80", "2001:db8:1::/120", 80),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(target.hosts, host.parse().unwrap(), "{text}");
        assert_eq!(target.ports.iter().collect::<Vec<_>>(), [port]);
        assert_eq!(Target::new(host, &port.to_string()), Ok(target));
    }
}

#[test]
fn a_target_is_called_as_it_would_be_read() {
    for (text, written) in [
        ("192.0.2.7:25", "192.0.2.7:25"),
        ("[2001:DB8:0::7]:443", "[2001:db8::7]:443"),
        ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ("[::ffff:192.0.2.7]:25", "192.0.2.7:25"),
        ("Mail:25", "Mail:25"),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(label(&target), written);
        assert_eq!(written.parse(), Ok(target));
    }
}

#[test]
fn each_endpoint_of_a_block_is_called_by_its_own_address() {
    let target: Target = "198.18.0.0/24:25,80".parse().unwrap();
    let endpoint = ([198, 18, 0, 77], 80).into();
    assert_eq!(target.label(80, Some(endpoint)), "198.18.0.77:80");
    let name: Target = "mail:25,80".parse().unwrap();
    assert_eq!(name.label(80, Some(endpoint)), "mail:80");
    assert_eq!(name.label(25, None), "mail:25");
}

#[test]
fn an_address_never_becomes_a_name() {
    for text in ["192.0.2.7", "::1", "2001:db8::7", "::ffff:192.0.2.7", "[::1]"] {
        assert!(matches!(text.parse(), Ok(Hosts::Block(_))), "{text}");
    }
    assert!(matches!("fe80::1%eth0".parse(), Ok(Hosts::LinkLocal(..))));
    for text in ["224.0.0.1", "::", "0.0.0.0", "255.255.255.255", "ff05::1"] {
        assert!(matches!(text.parse::<Hosts>(), Err(TargetError::NotOneHost(_))), "{text}");
    }
}

/// `inet_aton()` would read the first three as 198.18.1.8, 198.18.0.1 and 198.18.1.1.
#[test]
fn a_number_that_programs_read_differently_is_no_host() {
    for text in [
        "198.18.1.010",
        "198.18.1",
        "0xC6120101",
        "1",
        "3323068417",
        "0306.18.1.1",
        "198.18.0x1.1",
        "198.18.1.0x1",
        "198.18.1.1.",
        "198.18.01.1",
        "198.18.1.256",
        "198.18.1.1.1",
        "node.1",
        "0X1",
        "0x",
        "00",
        "127.1",
        "198.18.1.010/32",
        "198.18/16",
        "198.018.0.0/16",
        "[198.18.1.010]",
        "１９８.18.1.1",
        "198.18.1.010%eth0",
    ] {
        let error = text.parse::<Hosts>().expect_err(text);
        assert!(matches!(error, TargetError::Ambiguous(_)), "{text}: {error}");
    }
    for text in
        ["a1", "1a", "1.a", "0x1.example", "0xg", "a-1", "1-1", "x0x1", "198.18.1.1.example."]
    {
        assert!(matches!(text.parse(), Ok(Hosts::Name(_))), "{text}");
    }
}

#[test]
fn a_number_with_leading_zeros_is_no_port() {
    for text in ["080", "0080", "25,080", "08000-8010", "8000-08010"] {
        let error = text.parse::<Ports>().expect_err(text);
        assert!(matches!(error, TargetError::PaddedPort(_)), "{text}: {error}");
    }
}

#[test]
fn a_host_and_a_port_may_stand_apart() {
    for text in ["192.0.2.7 25,80", "192.0.2.7\t25,80", " 192.0.2.7 \t  25,80 ", "192.0.2.7:25,80"]
    {
        assert_eq!(text.parse(), Target::new("192.0.2.7", "25,80"), "{text:?}");
    }
    assert_eq!("2001:db8::7 25".parse(), Target::new("2001:db8::7", "25"));
    assert_eq!("198.18.0.0/24 25".parse(), Target::new("198.18.0.0/24", "25"));
    for text in ["192.0.2.7 25 80", "192.0.2.7 : 25", "192.0.2.7 25, 80"] {
        let error = text.parse::<Target>().expect_err(text);
        assert!(matches!(error, TargetError::TooMuch(_)), "{text}: {error}");
    }
    for text in ["192.0.2.7:25 80", "[::1]:25 80"] {
        let error = text.parse::<Target>().expect_err(text);
        assert!(matches!(error, TargetError::TwoPorts(..)), "{text}: {error}");
    }
    for text in ["25", "25,80", "8000-8010"] {
        let error = text.parse::<Target>().expect_err(text);
        assert!(matches!(error, TargetError::NoHost(_)), "{text}: {error}");
    }
}

#[test]
fn every_port_there_is_and_no_other() {
    for port in 1..=u16::MAX {
        assert_eq!(ports(&port.to_string()), [port]);
    }
    for text in ["", "0", "00", "65536", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "１"] {
        let error = Target::new("192.0.2.7", text).unwrap_err();
        assert!(matches!(error, TargetError::Port(_)), "{text:?}: {error}");
    }
}

#[test]
fn ports_are_lists_and_ranges() {
    for (text, wanted) in [
        ("25", [25].as_slice()),
        ("25,80", &[25, 80]),
        ("8000-8003", &[8000, 8001, 8002, 8003]),
        ("25,80,8000-8002", &[25, 80, 8000, 8001, 8002]),
        ("80,25", &[25, 80]),
        ("25,25", &[25]),
        ("8000-8002,8001-8004", &[8000, 8001, 8002, 8003, 8004]),
        ("8000-8004,8001-8002", &[8000, 8001, 8002, 8003, 8004]),
        ("8002-8003,8000-8001", &[8000, 8001, 8002, 8003]),
        ("8001,8000-8002,8001", &[8000, 8001, 8002]),
        ("7-7", &[7]),
        ("65535", &[65_535]),
        ("65534-65535,1", &[1, 65_534, 65_535]),
    ] {
        assert_eq!(ports(text), wanted, "{text}");
    }
    let all = ports("1-65535");
    assert_eq!(all.len(), 65_535);
    assert!(all.iter().copied().eq(1..=u16::MAX));
}

#[test]
fn what_is_no_list_of_ports_is_refused() {
    for text in [
        "25,", ",25", "25,,80", ",", "-", "25-", "-25", "25-80-90", "0-10", "1-65536", "25, 80",
        "25;80", "25:80", "25-abc", "a-b", "25,0", "*",
    ] {
        let error = text.parse::<Ports>().unwrap_err();
        assert!(matches!(error, TargetError::Port(_)), "{text:?}: {error}");
    }
    for text in ["8010-8000", "25,8010-8000", "2-1"] {
        let error = text.parse::<Ports>().unwrap_err();
        assert!(matches!(error, TargetError::ReversedPorts(_)), "{text:?}: {error}");
    }
}

#[test]
fn a_block_has_all_its_addresses() {
    for (text, addresses, first, last) in [
        ("198.18.0.0/24", 256, "198.18.0.0", "198.18.0.255"),
        ("198.18.0.4/30", 4, "198.18.0.4", "198.18.0.7"),
        ("198.18.0.0/16", 65_536, "198.18.0.0", "198.18.255.255"),
        ("10.0.0.0/8", 1 << 24, "10.0.0.0", "10.255.255.255"),
        ("192.0.2.7/32", 1, "192.0.2.7", "192.0.2.7"),
        ("2001:db8:1::/120", 256, "2001:db8:1::", "2001:db8:1::ff"),
        ("[2001:db8:1::/64]", 1 << 64, "2001:db8:1::", "2001:db8:1::ffff:ffff:ffff:ffff"),
        ("2001:db8::7/128", 1, "2001:db8::7", "2001:db8::7"),
    ] {
        let Ok(Hosts::Block(block)) = text.parse() else { panic!("{text}") };
        let ends: [IpAddr; 2] = [first, last].map(|address| address.parse().unwrap());
        assert_eq!([block.network(), block.broadcast()], ends, "{text}");
        for (ports, count) in [("25", 1_u128), ("25,80", 2), ("1-65535", 65_535)] {
            let target = Target::new(text, ports).unwrap();
            assert_eq!(target.count(), addresses * count, "{text}:{ports}");
        }
    }
}

#[test]
fn a_name_counts_as_one_host() {
    assert_eq!("mail:25".parse::<Target>().unwrap().count(), 1);
    assert_eq!("mail:25,80-81".parse::<Target>().unwrap().count(), 3);
    assert_eq!("[fe80::1%eth0]:25,80".parse::<Target>().unwrap().count(), 2);
}

#[test]
fn a_block_of_anything_else_is_refused() {
    let refusal = |text: &str| text.parse::<Hosts>().expect_err(text);
    for (text, fix) in [
        ("198.18.0.1/24", "198.18.0.0/24"),
        ("198.18.0.255/31", "198.18.0.254/31"),
        ("10.1.0.0/8", "10.0.0.0/8"),
        ("2001:db8::7/64", "2001:db8::/64"),
    ] {
        let error = refusal(text);
        assert!(matches!(error, TargetError::HostBits(_)), "{text}: {error}");
        assert!(error.to_string().ends_with(fix), "{error}");
    }
    for text in ["0.0.0.0/0", "::/0", "224.0.0.0/4", "ff00::/8", "240.0.0.0/4", "0.0.0.0/8"] {
        let error = refusal(text);
        assert!(matches!(error, TargetError::NotOneHost(_)), "{text}: {error}");
    }
    assert!(matches!(refusal("fe80::/64"), TargetError::NoScope(_)));
    for text in [
        "198.18.0.0/33",
        "2001:db8::/129",
        "198.18.0.0/",
        "198.18.0.0/-1",
        "198.18.0.0/+24",
        "198.18.0.0/024",
        "198.18.0.0/x",
        "198.18.0.0/24/24",
        "198.18.0.0/0.0.0.255",
    ] {
        let error = refusal(text);
        assert!(matches!(error, TargetError::Block(_)), "{text}: {error}");
    }
    for text in
        ["/24", "mail/24", "fe80::%eth0/64", "198.18.0.0 /24", "[198.18.0.0/24", "[2001:db8::]/64"]
    {
        let error = refusal(text);
        assert!(matches!(error, TargetError::Host(_)), "{text}: {error}");
    }
}

/// Packets to them would leave as IPv6 and never arrive.
#[test]
fn a_block_of_ipv4_mapped_addresses_is_ipv4_or_refused() {
    if let Ok(Hosts::Block(block)) = "::ffff:198.18.0.0/120".parse() {
        assert_eq!(block.to_string(), "198.18.0.0/24");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_target_or_refused(text in ".{0,40}") {
        if let Ok(target) = text.parse::<Target>() {
            prop_assert!(target.count() > 0);
        }
    }

    #[test]
    fn one_endpoint_is_called_as_it_would_be_read(
        text in r"([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f]{0,4}:[0-9a-f:]{0,20}(%lo)?\]|[a-z._-]{1,10}):[0-9]{1,5}",
    ) {
        if let Ok(target) = text.parse::<Target>() {
            prop_assert_eq!(label(&target).parse(), Ok(target));
        }
    }

    #[test]
    fn a_list_has_what_its_parts_have(
        parts in proptest::collection::vec((1..100_u16, 0..20_u16), 1..10),
    ) {
        let parts: Vec<_> = parts.into_iter().map(|(first, more)| first..=first + more).collect();
        let written: Vec<_> = parts.iter().map(|r| format!("{}-{}", r.start(), r.end())).collect();
        let list: Ports = written.join(",").parse().unwrap();
        let wanted: std::collections::BTreeSet<_> = parts.into_iter().flatten().collect();
        prop_assert_eq!(list.iter().collect::<Vec<_>>(), wanted.iter().copied().collect::<Vec<_>>());
        for port in 1..130 {
            prop_assert_eq!(list.ranges().iter().any(|range| range.contains(&port)), wanted.contains(&port));
        }
    }
}

fn ports(text: &str) -> Vec<u16> {
    Target::new("192.0.2.7", text).unwrap().ports.iter().collect()
}

/// Returns the label of a target of a single endpoint.
fn label(target: &Target) -> String {
    let port = target.ports.iter().next().unwrap();
    let endpoint = match &target.hosts {
        Hosts::Block(block) => Some(SocketAddr::new(block.ip(), port)),
        Hosts::LinkLocal(..) | Hosts::Name(_) => None,
    };
    target.label(port, endpoint)
}

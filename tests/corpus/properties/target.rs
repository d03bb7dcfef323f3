use std::net::{IpAddr, SocketAddr};
use std::{iter, str};

use halfopen::target::{Hosts, Ports, Target, TargetError};
use halfopen::target_set::TargetSet;

use super::assert_fit_for_a_line;

/// Endpoints of one target that are counted one by one.
const SMALL: u128 = 1 << 8;

/// A text is a target whose parts can be read as they are shown, or is refused with a short message
/// that names the part. The standard library agrees on single endpoints.
pub fn target(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match text.parse::<Target>() {
        Ok(target) => assert_sound(&target, text),
        Err(error) => assert_named(&error, text),
    }
    match text.parse::<Hosts>() {
        Ok(hosts) => assert_shown(&hosts),
        Err(error) => assert_named(&error, text),
    }
    match text.parse::<Ports>() {
        Ok(ports) => assert_each_once(&ports, text),
        Err(error) => assert_named(&error, text),
    }
    if let Ok(endpoint) = text.parse() {
        assert_judged(text, endpoint);
    }
}

fn assert_sound(target: &Target, text: &str) {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let ports = if let [_, ports] = words[..] {
        ports
    } else {
        let (host, ports) = text.rsplit_once(':').unwrap();
        assert!(!host.contains(':') || host.starts_with('[') && host.ends_with(']'), "{text}");
        ports
    };
    assert_each_once(&target.ports, ports);
    assert_shown(&target.hosts);
    let count = target.count();
    assert!(count >= target.ports.iter().count() as u128);
    // An interface is looked up, so it has to exist.
    if count > SMALL || !matches!(target.hosts, Hosts::Block(_)) {
        return;
    }
    let mut target_set = TargetSet::new(vec![target.clone()]).expect("no interface is named");
    let mut endpoints: Vec<_> =
        iter::from_fn(|| target_set.poll_endpoint()).map(|(_, e)| e).collect();
    assert_eq!(endpoints.len() as u128, count);
    for endpoint in &endpoints {
        assert!(may_be_probed(endpoint.ip()), "{endpoint}");
        let label = target.label(endpoint.port(), Some(*endpoint));
        assert_eq!(label.parse(), Ok(Target::from(*endpoint)), "{label}");
    }
    endpoints.sort_unstable();
    endpoints.dedup();
    assert_eq!(endpoints.len() as u128, count);
}

fn assert_shown(hosts: &Hosts) {
    let shown = hosts.to_string();
    assert_fit_for_a_line(&shown);
    assert_eq!(shown.parse().as_ref(), Ok(hosts), "{shown}");
    match hosts {
        Hosts::Block(block) => {
            let ends = [block.network(), block.broadcast()];
            assert!(ends.into_iter().all(may_be_probed), "{block}");
        }
        Hosts::LinkLocal(_, interface) => assert!(!interface.is_empty()),
        Hosts::Name(name) => {
            assert!(!is_read_by_inet_aton(name), "{name}");
            assert!(name.len() <= 253); // RFC 1035 §2.3.4, without the length bytes at both ends
            assert!(!name.contains(|c: char| c.is_ascii_punctuation() && !".-_".contains(c)));
        }
    }
}

/// What `inet_aton(3)` takes for an address: one to four numbers, decimal, octal or hexadecimal.
fn is_read_by_inet_aton(name: &str) -> bool {
    let is_number = |part: &str| {
        let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None if part.starts_with('0') => (part, 8),
            None => (part, 10),
        };
        u32::from_str_radix(digits, radix).is_ok()
    };
    name.split('.').count() <= 4 && name.split('.').all(is_number)
}

fn assert_each_once(ports: &Ports, text: &str) {
    assert!(text.bytes().all(|byte| byte.is_ascii_digit() || b",-".contains(&byte)), "{text}");
    let mut named = vec![false; 1 << 16];
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last] = [first, last].map(|port| port.parse::<usize>().unwrap());
        named[first..=last].fill(true);
    }
    let named = (0..=u16::MAX).filter(|port| named[usize::from(*port)]);
    assert!(ports.iter().eq(named));
    assert!(ports.ranges().is_sorted_by(|one, next| one.end() < next.start()));
    assert!(ports.iter().all(|port| port != 0) && ports.iter().next().is_some());
}

/// The message quotes what was written, no more than a line of it.
fn assert_named(error: &TargetError, text: &str) {
    assert_fit_for_a_line(&error.to_string());
    if let TargetError::NoPort(part)
    | TargetError::NoHost(part)
    | TargetError::TooMuch(part)
    | TargetError::Port(part)
    | TargetError::PaddedPort(part)
    | TargetError::ReversedPorts(part)
    | TargetError::Ambiguous(part)
    | TargetError::Block(part)
    | TargetError::Host(part) = error
    {
        assert!(text.contains(part.strip_suffix('…').unwrap_or(part)), "{part:?}");
        assert!(part.chars().count() <= 81, "{part:?}");
    }
}

/// If the standard library reads an endpoint, the target is that endpoint, provided that it can be
/// one and its port has no leading zeros.
fn assert_judged(text: &str, endpoint: SocketAddr) {
    let (ip, port) = (endpoint.ip().to_canonical(), endpoint.port());
    let read = text.parse::<Target>();
    let padded = text.rsplit(':').next().is_some_and(|port| port.starts_with('0'));
    match text.contains('%') {
        _ if port == 0 || padded => assert!(read.is_err()),
        false if may_be_probed(ip) => assert_eq!(read, Ok(SocketAddr::new(ip, port).into())),
        true if is_link_local(ip) => {
            assert!(matches!(read.unwrap().hosts, Hosts::LinkLocal(address, _) if address == ip));
        }
        _ => assert!(read.is_err(), "{read:?}"),
    }
}

/// The address of one host, which is not written in another way: IPv4-mapped addresses are IPv4,
/// and link-local ones need their interface.
fn may_be_probed(address: IpAddr) -> bool {
    let one_host = match address {
        IpAddr::V4(v4) => {
            !matches!(v4.octets(), [0, 0, 0, 0] | [224..=239, ..] | [255, 255, 255, 255])
        }
        IpAddr::V6(v6) => !matches!(
            v6.segments(),
            [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..]
        ),
    };
    one_host && !is_link_local(address)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if matches!(v6.segments(), [0xfe80..=0xfebf, ..]))
}

//! The endpoints of a pool: each once, however often it is named, and only when it is asked for.

use std::collections::BTreeSet;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use halfopen::family::{Family, WrongFamily};
use halfopen::local_error::LocalError;
use halfopen::plan::{Plan, PlanError, Settings};
use halfopen::target::Target;
use halfopen::target_set::TargetSet;
use halfopen::verdict::{Outcome, PortState, Reason, Verdict};

#[test]
fn a_huge_pool_is_not_expanded_before_it_is_asked_for() {
    const ALONE: &str = "HALFOPEN_TEST_ALONE";
    if env::var_os(ALONE).is_none() {
        // In a process of its own, so that the memory of other tests is not measured.
        let this = "target_set::a_huge_pool_is_not_expanded_before_it_is_asked_for";
        let mut alone = Command::new(env::current_exe().unwrap());
        let output = alone.args(["--exact", this]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let ports: Vec<_> = (1..=1000_u16).map(|port| port.to_string()).collect();
    let target: Target = format!("10.0.0.0/8:{}", ports.join(",")).parse().unwrap();
    assert_eq!(target.count(), 1000 << 24);
    let before = resident();
    let mut target_set = target_set(vec![target]);
    for index in 0..200_000_u32 {
        let (id, endpoint) = target_set.poll_endpoint().expect("sixteen thousand million of them");
        let wanted = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + index / 1000);
        assert_eq!((id, endpoint.ip()), (0, wanted.into()), "{index}");
        assert_eq!(u32::from(endpoint.port()), index % 1000 + 1);
        assert_eq!(target_set.end(endpoint, &open()), [0]);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more after 200,000 endpoints");
}

#[test]
fn a_block_too_large_to_count_begins_like_any_other() {
    let mut target_set = of(&["[2001:db8::/32]:80,443"]);
    assert_eq!(target_set.poll_endpoint(), endpoint(0, "[2001:db8::]:80"));
    assert_eq!(target_set.poll_endpoint(), endpoint(0, "[2001:db8::]:443"));
    assert_eq!(target_set.poll_endpoint(), endpoint(0, "[2001:db8::1]:80"));
}

#[test]
fn endpoints_come_in_the_order_in_which_they_are_written() {
    let mut target_set =
        of(&["192.0.2.9:25", "198.18.0.4/31:80,443", "[2001:db8::7]:25", "192.0.2.1:1"]);
    for (id, wanted) in [
        (0, "192.0.2.9:25"),
        (1, "198.18.0.4:80"),
        (1, "198.18.0.4:443"),
        (1, "198.18.0.5:80"),
        (1, "198.18.0.5:443"),
        (2, "[2001:db8::7]:25"),
        (3, "192.0.2.1:1"),
    ] {
        assert_eq!(target_set.poll_endpoint(), endpoint(id, wanted));
    }
    assert_eq!(target_set.poll_endpoint(), None);
    assert_eq!(target_set.poll_endpoint(), None);
}

#[test]
fn an_endpoint_of_several_lines_comes_once_and_is_reported_to_all() {
    for (targets, wanted) in [
        (["192.0.2.7:25", "192.0.2.7:25"].as_slice(), [("192.0.2.7:25", &[0, 1][..])].as_slice()),
        (&["192.0.2.7:25", "[::ffff:192.0.2.7]:25"], &[("192.0.2.7:25", &[0, 1])]),
        (&["192.0.2.7:25", "192.0.2.7/32:25"], &[("192.0.2.7:25", &[0, 1])]),
        (
            &["192.0.2.6/31:25", "192.0.2.7:25", "192.0.2.7:26"],
            &[("192.0.2.6:25", &[0]), ("192.0.2.7:25", &[0, 1]), ("192.0.2.7:26", &[2])],
        ),
        (
            &["192.0.2.7:25", "192.0.2.6/31:25", "192.0.2.4/30:25"],
            &[
                ("192.0.2.7:25", &[0, 1, 2]),
                ("192.0.2.6:25", &[1, 2]),
                ("192.0.2.4:25", &[2]),
                ("192.0.2.5:25", &[2]),
            ],
        ),
        (
            &["192.0.2.7:25,80", "192.0.2.7:80,443", "192.0.2.7:80"],
            &[("192.0.2.7:25", &[0]), ("192.0.2.7:80", &[0, 1, 2]), ("192.0.2.7:443", &[1])],
        ),
        (&["[2001:db8::7]:25", "[2001:db8:0::7]:25"], &[("[2001:db8::7]:25", &[0, 1])]),
    ] {
        let mut target_set = of(targets);
        let mut given = Vec::new();
        while let Some((_, endpoint)) = target_set.poll_endpoint() {
            given.push((endpoint, sorted(target_set.end(endpoint, &open()))));
        }
        let wanted: Vec<_> =
            wanted.iter().map(|(e, ids)| (e.parse().unwrap(), ids.to_vec())).collect();
        assert_eq!(given, wanted, "{targets:?}");
    }
}

#[test]
fn a_name_comes_when_it_is_resolved_with_all_its_ports() {
    let mut target_set = of(&["mail:25,587", "192.0.2.9:25"]);
    assert_eq!(target_set.names_to_resolve(), [(0, "mail".into())]);
    assert_eq!(target_set.poll_endpoint(), endpoint(1, "192.0.2.9:25"));
    assert_eq!(target_set.poll_endpoint(), None);
    assert!(!target_set.is_resolved());
    assert_eq!(resolve(&mut target_set, 0, "192.0.2.7"), []);
    assert!(target_set.is_resolved());
    assert_eq!(target_set.poll_endpoint(), endpoint(0, "192.0.2.7:25"));
    assert_eq!(target_set.poll_endpoint(), endpoint(0, "192.0.2.7:587"));
    assert_eq!(target_set.poll_endpoint(), None);
    assert_eq!(target_set.end("192.0.2.7:587".parse().unwrap(), &open()), [0]);
}

#[test]
fn a_name_for_an_address_that_is_also_a_target_shares_its_endpoint() {
    // Resolved before the literal comes, while it is pending, and after it has ended.
    for moment in 0..3 {
        let mut target_set = of(&["mail:25,80", "192.0.2.7:25"]);
        let literal = "192.0.2.7:25".parse().unwrap();
        let mut known = vec![];
        if moment == 0 {
            known = resolve(&mut target_set, 0, "192.0.2.7");
        }
        if moment > 0 {
            assert_eq!(target_set.poll_endpoint(), Some((1, literal)));
        }
        if moment == 1 {
            known = resolve(&mut target_set, 0, "192.0.2.7");
        }
        if moment == 2 {
            assert_eq!(target_set.end(literal, &open()), [1]);
            known = resolve(&mut target_set, 0, "192.0.2.7");
            assert_eq!(known, [(literal, open())], "a known outcome is returned at once");
        } else {
            assert_eq!(known, []);
        }
        let rest: BTreeSet<_> =
            std::iter::from_fn(|| target_set.poll_endpoint()).map(|(_, e)| e).collect();
        let mut wanted = BTreeSet::from(["192.0.2.7:80".parse().unwrap()]);
        if moment == 0 {
            wanted.insert(literal);
        }
        assert_eq!(rest, wanted, "moment {moment}");
        if moment < 2 {
            assert_eq!(sorted(target_set.end(literal, &open())), [0, 1]);
        }
    }
}

#[test]
fn two_names_for_one_address_are_one_target() {
    let mut target_set = of(&["mail:25", "smtp:25", "smtp:80"]);
    assert_eq!(resolve(&mut target_set, 1, "192.0.2.7"), []);
    assert_eq!(target_set.poll_endpoint(), endpoint(1, "192.0.2.7:25"));
    assert_eq!(resolve(&mut target_set, 0, "192.0.2.7"), []);
    assert_eq!(target_set.poll_endpoint(), None);
    let both = "192.0.2.7:25".parse().unwrap();
    assert_eq!(sorted(target_set.end(both, &open())), [0, 1]);
    assert_eq!(resolve(&mut target_set, 2, "192.0.2.7"), []);
    assert_eq!(target_set.poll_endpoint(), endpoint(2, "192.0.2.7:80"));
}

#[test]
fn a_name_resolved_after_the_address_of_another_has_ended_shares_its_outcome() {
    let mut target_set = of(&["mail:25", "smtp:25"]);
    let shared = "192.0.2.7:25".parse().unwrap();
    assert_eq!(resolve(&mut target_set, 0, "192.0.2.7"), []);
    assert_eq!(target_set.poll_endpoint(), Some((0, shared)));
    assert_eq!(target_set.end(shared, &open()), [0]);
    assert_eq!(resolve(&mut target_set, 1, "192.0.2.7"), [(shared, open())]);
    assert_eq!(target_set.poll_endpoint(), None);
}

#[test]
fn a_name_that_does_not_resolve_gives_nothing() {
    let mut target_set = of(&["mail:25", "192.0.2.7:25"]);
    assert_eq!(target_set.resolve(0, &[]), []);
    assert!(target_set.is_resolved());
    assert_eq!(target_set.poll_endpoint(), endpoint(1, "192.0.2.7:25"));
    assert_eq!(target_set.poll_endpoint(), None);
}

#[test]
fn a_link_local_target_has_its_interface() {
    let mut target_set = of(&["[fe80::1%lo]:25", "[fe80::1%1]:25,80"]);
    let Some((0, SocketAddr::V6(first))) = target_set.poll_endpoint() else { panic!("no target") };
    assert_eq!((first.ip().to_string().as_str(), first.scope_id()), ("fe80::1", 1));
    assert_eq!(sorted(target_set.end(first.into(), &open())), [0, 1]);
    let Some((1, SocketAddr::V6(second))) = target_set.poll_endpoint() else { panic!("no target") };
    assert_eq!((second.port(), second.scope_id()), (80, 1));
    assert_eq!(target_set.poll_endpoint(), None);
    let unknown = TargetSet::new(vec!["[fe80::1%nowhere0]:25".parse().unwrap()]);
    assert_eq!(unknown.err(), Some(LocalError::Interface("nowhere0".to_owned())));
}

#[test]
fn an_address_of_the_other_family_is_refused_at_once() {
    for (family, target, address) in [
        (Family::V4, "[2001:db8::7]:25", "2001:db8::7"),
        (Family::V4, "[2001:db8::/64]:25", "2001:db8::"),
        (Family::V4, "[fe80::1%lo]:25", "fe80::1"),
        (Family::V6, "192.0.2.7:25", "192.0.2.7"),
        (Family::V6, "[::ffff:192.0.2.7]:25", "192.0.2.7"),
    ] {
        let targets = ["mail:25", target].map(|target| target.parse().unwrap()).to_vec();
        let settings = Settings { family, rate: 0, ..Settings::default() };
        let plan = Plan { targets, settings };
        let wrong = WrongFamily(address.parse().unwrap());
        assert_eq!(plan.verify(), Err(PlanError::Family(wrong)), "{target}");
    }
}

#[test]
fn the_families_that_may_be_needed_are_known_beforehand() {
    for (target, family, needed) in [
        ("192.0.2.7:25", Family::Any, (true, false)),
        ("[2001:db8::7]:25", Family::Any, (false, true)),
        ("[fe80::1%lo]:25", Family::Any, (false, true)),
        ("mail:25", Family::Any, (true, true)),
        ("mail:25", Family::V4, (true, false)),
        ("mail:25", Family::V6, (false, true)),
    ] {
        assert_eq!(of(&[target]).families(family), needed, "{target} {family:?}");
    }
    assert_eq!(of(&["192.0.2.7:25", "[2001:db8::7]:25"]).families(Family::Any), (true, true));
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn open() -> Outcome {
    let verdict = Verdict::without_probe(Reason::SynAck);
    assert_eq!(verdict.state(), PortState::Open);
    Ok(verdict)
}

fn of(targets: &[&str]) -> TargetSet {
    target_set(targets.iter().map(|target| target.parse().expect(target)).collect())
}

fn target_set(targets: Vec<Target>) -> TargetSet {
    TargetSet::new(targets).expect("no interface is named")
}

fn resolve(target_set: &mut TargetSet, id: u32, address: &str) -> Vec<(SocketAddr, Outcome)> {
    target_set.resolve(id, &[SocketAddr::new(address.parse().unwrap(), 0)])
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that poll has")]
fn endpoint(id: u32, text: &str) -> Option<(u32, SocketAddr)> {
    Some((id, text.parse().unwrap()))
}

fn sorted(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids
}

/// Returns the memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("needs /proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a Linux kernel");
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

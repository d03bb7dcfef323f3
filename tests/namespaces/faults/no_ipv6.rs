//! A kernel without IPv6. IPv4 is checked as elsewhere, and IPv6 gets no verdict.

use serde_json::{Value, json};

use super::{ENGINES, Stage, preloading, program};
use crate::support::names::Names;
use crate::support::preloaded::Preloaded;

#[test]
fn without_ipv6_in_the_kernel_ipv4_is_checked() {
    let stage = Stage::new();
    let no_ipv6 = Preloaded::build(&stage.lab, "faults/no_ipv6.c");
    for engine in ENGINES {
        for (port, ending) in [("80", (Some("open"), 0)), ("81", (Some("closed"), 2))] {
            let check = preloading(&no_ipv6, program(engine, &["198.19.0.2", port]));
            let verdict = stage.lab.client.outcome(check).verdict();
            assert_eq!(verdict.ending(), ending, "{engine}: {verdict:?}");
        }
        let pool = ["198.19.0.2:80", "[2001:db8::2]:80"];
        let outcome = stage.lab.client.outcome(preloading(&no_ipv6, program(engine, &pool)));
        let mut lines = outcome.stdout.lines();
        for (target, state) in pool.iter().zip([json!("open"), Value::Null]) {
            let line: Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
            assert_eq!((&line["target"], &line["state"]), (&json!(target), &state), "{engine}");
        }
        assert!(outcome.stdout.contains("is this address family enabled?"), "{outcome:#?}");
    }
}

#[test]
fn without_ipv6_in_the_kernel_a_name_is_checked_at_its_ipv4_address() {
    let stage = Stage::new();
    let no_ipv6 = Preloaded::build(&stage.lab, "faults/no_ipv6.c");
    let names = Names::with_hosts("2001:db8::2 both.test\n198.19.0.2 both.test\n");
    for engine in ENGINES {
        let check = names.command(&["--engine", engine, "both.test", "80"]);
        let verdict = stage.lab.client.outcome(preloading(&no_ipv6, check)).verdict();
        assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
    }
}

#[test]
fn without_ipv6_in_the_kernel_the_self_test_passes_over_ipv4() {
    let stage = Stage::new();
    let no_ipv6 = Preloaded::build(&stage.lab, "faults/no_ipv6.c");
    for engine in ENGINES {
        let check = preloading(&no_ipv6, program(engine, &["--self-test"]));
        let outcome = stage.lab.client.outcome(check);
        assert_eq!(outcome.code, 0, "{engine}: {outcome:#?}");
        assert!(outcome.stdout.contains("4 of 4 claims"), "{engine}: {outcome:#?}");
    }
}

//! Too few descriptors.

use std::fmt::Write;

use super::{ENGINES, Stage, limited, right};
use crate::names::{Names, address, answer, name_service};

/// The loader needs one beside the standard streams, to read the C library.
const FEWEST: u32 = 4;

#[test]
fn with_too_few_descriptors_nothing_is_learnt_and_with_enough_all() {
    let stage = Stage::new();
    for engine in ENGINES {
        for targets in [
            &["198.19.0.2:80"][..],
            &["[2001:db8::2]:81"],
            &["198.19.0.2:80,81", "[2001:db8::2]:80"],
        ] {
            // Who is short of descriptors hopes for more until the deadline.
            let arguments = [&["-t", "1"], targets].concat();
            let run = |limit| stage.lab.client.outcome(limited("-n", limit, engine, &arguments));
            let found: Vec<_> = (FEWEST..=24).map(|limit| right(&run(limit))).collect();
            println!("{engine} {targets:?}: {found:?}");
            let scarce = run(FEWEST);
            assert_eq!((found[0], scarce.code), (0, 3), "{scarce:#?}");
            assert!(scarce.stdout.contains("Too many open files"), "{scarce:#?}");
            assert_eq!(found.last(), Some(&if targets.len() == 1 { 1 } else { 3 }));
        }
    }
}

/// A resolver that may open no file finds no name, and does not say why.
#[test]
fn a_name_that_cannot_be_looked_up_for_want_of_descriptors_is_no_state() {
    const NAMES: usize = 150;
    let stage = Stage::new();
    answer(name_service(&stage.lab), address);
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    let (mut listed, mut served) = (Vec::new(), Vec::new());
    for number in 0..NAMES {
        writeln!(hosts, "198.19.0.2 listed{number}.test").expect("memory");
        listed.push(format!("listed{number}.test:80"));
        served.push(format!("served{number}.test:80"));
    }
    let names = Names::with_hosts(&hosts);
    for engine in ENGINES {
        for targets in [&listed, &served] {
            let targets: Vec<_> = targets.iter().map(String::as_str).collect();
            for limit in (10..=20).chain([32, 64, 128, 200]) {
                let command = limited("-n", limit, engine, &[&["-4"], &targets[..]].concat());
                let outcome = stage.lab.client.outcome(names.shown_to(&command));
                println!(
                    "{engine}, {limit} descriptors: {} right {:?}",
                    right(&outcome),
                    outcome.elapsed
                );
            }
        }
    }
}

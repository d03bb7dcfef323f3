//! Why a port is not open: the causes that are named over a model of paths and hosts.

mod asking;
mod model;
mod packet;
mod run;
mod scenes;
mod table;
mod twists;

use std::collections::BTreeMap;

use halfopen::verdict::Reason;

use self::model::Model;
use self::run::{Explained, TIMEOUT, Wanted, explain};
use self::scenes::{Scene, plain};
use self::twists::{reserved, twisted};

/// How many questions may be asked about a target.
const MOST: usize = 10;

/// Checks the scene's target with these dice, judges everything but the cause, and returns that.
fn cause_of(scene: &Scene, seed: u64, loss: f64) -> &'static str {
    let mut model = Model::new(scene.clone(), seed, loss);
    let run = explain(&[scene.target], &mut model, Wanted::All, None);
    let questions = model.questions.len();
    let context = format!("{} with seed {seed}", scene.name);
    assert!(questions <= MOST, "{questions} questions about {context}");
    let (ended_at, outcome) = &run.ended[&scene.target];
    assert!(*ended_at <= TIMEOUT, "{context} ends at {ended_at:?}");
    if seed.is_multiple_of(10) {
        let mut same = Model::new(scene.clone(), seed, loss);
        let (checked_at, alone) =
            &explain(&[scene.target], &mut same, Wanted::Nothing, None).ended[&scene.target];
        assert_eq!(outcome, alone, "{context}: the verdict without explainer");
        let reason = alone.as_ref().map(|verdict| &verdict.reason);
        if matches!(reason, Ok(Reason::NoAnswer { .. })) {
            assert!(ended_at <= checked_at, "{context}: {ended_at:?}, without {checked_at:?}");
        }
    }
    assert_eq!(run.without_rst(), [], "{context}: SYN+ACKs without RST");
    cause(&run, scene)
}

fn cause(run: &Explained, scene: &Scene) -> &'static str {
    run.explanations.get(&scene.target).map_or("none", |explanation| explanation.cause.name())
}

/// Returns how often each cause is named for the scene.
fn causes_of(scene: &Scene, seeds: u64, loss: f64) -> BTreeMap<&'static str, u64> {
    let mut causes = BTreeMap::new();
    for seed in 0..seeds {
        *causes.entry(cause_of(scene, seed, loss)).or_default() += 1;
    }
    println!("loss {loss}: {}: {causes:?}", scene.name);
    causes
}

fn is_evasive(name: &str) -> bool {
    ["unknown", "none"].contains(&name)
}

/// Returns true if the cause contradicts what is true.
fn is_wrong(scene: &Scene, name: &&'static str) -> bool {
    !is_evasive(name) && !scene.right.contains(name)
}

/// Runs each scene with this many seeds. Returns the causes that contradict what is true.
fn judge(scenes: &[Scene], seeds: u64, loss: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for scene in scenes {
        let causes = causes_of(scene, seeds, loss);
        let of_it = causes.iter().filter(|(name, _)| is_wrong(scene, name));
        wrong.extend(of_it.map(|(name, count)| format!("{}: {name} {count} times", scene.name)));
    }
    wrong
}

#[test]
fn without_loss_every_plain_cause_is_found() {
    for scene in plain() {
        for seed in 0..10 {
            let name = cause_of(&scene, seed, 0.0);
            let is_right = scene.right.contains(&name);
            assert!(is_right || !scene.is_plain && is_evasive(name), "{}: {name}", scene.name);
        }
    }
}

#[test]
fn no_twist_of_path_or_host_leads_to_a_wrong_cause() {
    let scenes: Vec<_> = twisted().into_iter().chain(reserved()).collect();
    let wrong = judge(&scenes, 3, 0.0);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One packet in ten is lost, each way.
#[test]
fn loss_leads_to_no_wrong_cause() {
    let wrong = judge(&plain(), 1000, 0.1);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn loss_and_a_twist_lead_to_no_wrong_cause() {
    let wrong = judge(&twisted(), 20, 0.1);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// If a host answers questions of one kind only, two or three lost ones make it look silent: one
/// check in 28 or 145 then. Ten questions cannot do better.
#[test]
fn a_host_that_answers_little_is_seldom_called_silent() {
    const SEEDS: u64 = 200;
    for scene in reserved() {
        let causes = causes_of(&scene, SEEDS, 0.1);
        let silent = causes.get("host-silent").copied().unwrap_or_default();
        if !scene.right.contains(&"host-silent") {
            assert!(silent <= SEEDS / 20, "{}: {causes:?}", scene.name);
        }
        let others = causes.keys().filter(|name| **name != "host-silent");
        let wrong: Vec<_> = others.filter(|name| is_wrong(&scene, name)).collect();
        assert!(wrong.is_empty(), "{}: {causes:?}", scene.name);
    }
}

/// Three packets in ten are lost, each way: every second question. The cause is then wrong now and
/// then, because ten questions are too few.
#[test]
fn heavy_loss_seldom_leads_to_a_wrong_cause() {
    const SEEDS: u64 = 200;
    for scene in plain() {
        let causes = causes_of(&scene, SEEDS, 0.3);
        let wrong: u64 =
            causes.iter().filter(|(name, _)| is_wrong(&scene, name)).map(|(_, count)| count).sum();
        assert!(wrong <= SEEDS / 20, "{}: {causes:?}", scene.name);
    }
}

//! What the program says about a target with `--explain`.

use std::collections::BTreeMap;
use std::thread;

use serde_json::Value;

use lab::{Namespace, Outcome, halfopen};

/// The names of causes, as they are documented.
const CAUSES: [&str; 12] = [
    "accept-queue-full",
    "firewall-drop",
    "filter-or-queue",
    "host-silent",
    "neighbour-silent",
    "refused-on-the-way",
    "nobody-listens",
    "answered-in-front",
    "this-machine",
    "broken-nat",
    "corrupt-answers",
    "unknown",
];

/// A line of JSON about a target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Explained {
    pub(super) target: String,
    pub(super) state: Option<String>,
    pub(super) reason: String,
    pub(super) status: String,
    pub(super) cause: Option<String>,
    pub(super) evidence: Vec<String>,
    pub(super) code: i32,
}

impl Explained {
    /// Reads every line about a target.
    pub(super) fn all(outcome: &Outcome) -> Vec<Self> {
        let lines = outcome.stdout.lines().map(|line| {
            serde_json::from_str::<Value>(line)
                .unwrap_or_else(|error| panic!("no JSON ({error}): {outcome:#?}"))
        });
        lines
            .filter(|line| line.get("target").is_some())
            .map(|line| Self::read(&line, outcome.code))
            .collect()
    }

    fn read(line: &Value, code: i32) -> Self {
        let text = |field: &str| line[field].as_str().map(str::to_owned);
        let cause = text("cause");
        assert_eq!(cause.is_some(), line.get("cause").is_some(), "{line}");
        assert_eq!(cause.is_some(), line.get("evidence").is_some(), "{line}");
        assert!(cause.as_deref().is_none_or(|cause| CAUSES.contains(&cause)), "{line}");
        let evidence = line.get("evidence").map(|facts| facts.as_array().expect("a list").iter());
        let fact = |fact: &Value| fact.as_str().expect("text").to_owned();
        Self {
            target: text("target").expect("every line has one"),
            state: text("state"),
            reason: text("reason").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
            cause,
            evidence: evidence.map(|facts| facts.map(fact).collect()).unwrap_or_default(),
            code,
        }
    }

    #[track_caller]
    pub(super) fn assert_cause(&self, state: &str, cause: &str) {
        let said = (self.state.as_deref(), self.cause.as_deref());
        assert_eq!(said, (Some(state), Some(cause)), "{self:#?}");
    }

    #[track_caller]
    pub(super) fn assert_open_without_cause(&self) {
        let said = (self.state.as_deref(), self.cause.as_deref(), self.code);
        assert_eq!(said, (Some("open"), None, 0), "{self:#?}");
    }

    /// Asserts that a fact has all of these words.
    #[track_caller]
    pub(super) fn assert_evidence(&self, words: &[&str]) {
        let mut facts = self.evidence.iter();
        assert!(facts.any(|fact| words.iter().all(|word| fact.contains(word))), "{self:#?}");
    }
}

/// Returns the result of one check.
pub(super) fn explain(host: &Namespace, words: &[&str]) -> Explained {
    let outcome = host.outcome(halfopen(&[&["--explain", "-o", "json"], words].concat()));
    let mut all = Explained::all(&outcome);
    assert_eq!(all.len(), 1, "{outcome:#?}");
    all.remove(0)
}

/// Makes checks, each by a program of its own, at the same time.
pub(super) fn explain_each(host: &Namespace, checks: &[Vec<&str>]) -> Vec<Explained> {
    thread::scope(|scope| {
        let checks: Vec<_> =
            checks.iter().map(|words| scope.spawn(|| explain(host, words))).collect();
        checks.into_iter().map(|check| check.join().expect("no panic")).collect()
    })
}

/// Returns how many there are of each cause.
pub(super) fn count(all: &[Explained]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for explained in all {
        *counts.entry(explained.cause.as_deref().unwrap_or("none")).or_default() += 1;
    }
    counts
}

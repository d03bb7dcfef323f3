//! One check, from the plan to the report.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::checker::Checker;
use crate::engine::{Egress, RawEngine};
use crate::fault::Fault;
use crate::probe::{Ignored, Secret};
use crate::report::{Finding, Format, Report};
use crate::resolve::{Family, Unresolved, resolve};
use crate::run::{Crossing, Watcher, run};
use crate::schedule::Schedule;
use crate::status::Policy;
use crate::target::Target;
use crate::verdict::{Outcome, Reason, Verdict};

/// A check, as the operator wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to check.
    pub target: Target,
    /// Which address families may be used.
    pub family: Family,
    /// The whole program's deadline, counted from its start.
    pub timeout: Duration,
    /// SYN retransmissions after the first.
    pub retries: u8,
    /// How segments leave.
    pub egress: Egress,
    /// What states and times mean.
    pub policy: Policy,
    /// How the result is written.
    pub format: Format,
    /// How much is said beside the result, 0 to 3.
    pub verbosity: u8,
}

/// Carries out `plan` in a program that began at `start`.
pub fn check(plan: &Plan, start: Instant) -> Report {
    let left = || plan.timeout.saturating_sub(start.elapsed());
    let addresses = resolve(&plan.target, plan.family, left());
    let probed = match &addresses {
        Ok(addresses) => {
            let schedule = Schedule::fit(plan.retries, left());
            probe(start, plan.egress.clone(), schedule, addresses[0])
        }
        Err(Unresolved::Name(failure)) => {
            let reason = Reason::NameNotResolved(*failure);
            Probed::nothing(Ok(Verdict::without_probe(reason)))
        }
        Err(Unresolved::Fault(fault)) => Probed::nothing(Err(fault.clone())),
    };
    Report {
        finding: Finding {
            target: plan.target.to_string(),
            port: plan.target.port,
            addresses: addresses.unwrap_or_default(),
            judgement: plan.policy.judge(&probed.outcome),
            probed,
        },
        warning: plan.policy.warning.clone(),
        critical: plan.policy.critical.clone(),
        timeout: plan.timeout,
        verbosity: plan.verbosity,
    }
}

/// What became of one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// How it ended.
    pub outcome: Outcome,
    /// How it was probed and when SYNs were to go out; `None` where nothing could be sent.
    pub means: Option<(&'static str, Schedule)>,
    /// What arrived and proved nothing.
    pub ignored: BTreeMap<Ignored, usize>,
    /// Every packet both ways, and when, from the start of the program.
    pub crossings: Vec<(Duration, Crossing)>,
}

impl Probed {
    fn nothing(outcome: Outcome) -> Self {
        Self { outcome, means: None, ignored: BTreeMap::new(), crossings: Vec::new() }
    }
}

/// Probes `remote` through raw sockets.
pub fn probe(start: Instant, egress: Egress, schedule: Schedule, remote: SocketAddr) -> Probed {
    let ready = RawEngine::open(start, egress, &[remote]).and_then(|raw| Ok((raw, secret()?)));
    let (mut engine, secret) = match ready {
        Ok(ready) => ready,
        Err(fault) => return Probed::nothing(Err(fault)),
    };
    let mut checker = Checker::new(secret, schedule, [remote]);
    let mut record = Record::default();
    let ran = run(&mut checker, &mut engine, &mut record);
    let outcome = record.outcome.unwrap_or_else(|| Err(ran.expect_err("ended without outcome")));
    Probed {
        outcome,
        means: Some((RawEngine::NAME, schedule)),
        ignored: checker.ignored().clone(),
        crossings: record.crossings,
    }
}

#[derive(Default)]
struct Record {
    outcome: Option<Outcome>,
    crossings: Vec<(Duration, Crossing)>,
}

impl Watcher for Record {
    fn ended(&mut self, _target: usize, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    fn crossed(&mut self, at: Duration, crossing: Crossing) {
        self.crossings.push((at, crossing));
    }
}

fn secret() -> Result<Secret, Fault> {
    let mut key = [0; 16];
    SysRng.try_fill_bytes(&mut key).map_err(|_| Fault::Random)?;
    Ok(Secret::new(key))
}

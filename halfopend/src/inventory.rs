//! Which targets there are: those of the configuration, at the addresses that their names have.
//!
//! Names are looked up on threads of their own, every 30 seconds. What a look-up says is true until
//! the next one: the addresses known so far stay in use while the name service fails or hangs, and
//! the targets of a name that does not exist any more are down until it does.
//!
//! The configuration is read again by a thread, too. See [`Inventory::reload`].

mod changes;
mod members;
mod names;
mod plan;
mod reload;
mod restart;

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use halfopen::engine::Interrupt;
use halfopen::family::Family;
use halfopen::resolve::{LookupEvent, Lookups, NoAddress, interface_index};

pub use self::reload::ReadConfig;

use self::changes::Changes;
use self::members::Host;
use self::names::Names;
use self::plan::{InForce, Plan};
use self::reload::{Reload, Stage, are_resolved, no_thread};
use crate::config::{Config, PoolConfig};
use crate::fleet::Fleet;
use crate::probe::Terms;

/// When names are looked up again for which no thread could be started.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the targets of a fleet equal to the configuration and to what names resolve to.
pub struct Inventory {
    names: Names,
    lookups: Option<Lookups>,
    /// When to ask for a thread again.
    retry_at: Option<Duration>,
    /// The numbers of the pools in the fleet, by name.
    pools: HashMap<Arc<str>, u32>,
    reload: Reload,
    /// Changes that are yet to be made.
    changes: Changes,
    /// True if another configuration is in force.
    has_new_pools: bool,
    /// True if all is to be told again.
    wants_snapshot: bool,
    reports: VecDeque<Result<String, String>>,
}

impl Inventory {
    /// Adds the pools and targets of `config` to a fleet. `read` reads the configuration again.
    pub fn new(mut config: Config, read: ReadConfig, fleet: &mut Fleet, now: Duration) -> Self {
        let pools = mem::take(&mut config.pools);
        let whole = Config { pools, ..config.clone() };
        let plan = Plan::between(&InForce::default(), InForce::of(whole));
        config.pools.clone_from(&plan.next.pools);
        let mut inventory = Self {
            names: Names::default(),
            lookups: None,
            retry_at: None,
            pools: HashMap::new(),
            reload: Reload::new(read, config, Arc::clone(&plan.next)),
            changes: Changes::default(),
            has_new_pools: false,
            wants_snapshot: true,
            reports: VecDeque::new(),
        };
        inventory.begin(plan, false, fleet, now);
        while !inventory.changes.are_made() {
            inventory.changes.make_some(fleet, now);
        }
        inventory
    }

    /// Reads the configuration again, and changes the targets accordingly.
    ///
    /// Nothing changes before all of it is understood and each name that is new has an address. If
    /// one has none within five seconds, for any reason, nothing changes, and the log says why.
    /// Names that there were before cause no refusal: what is known of them stays in use. Targets
    /// that stay keep their states and counts.
    ///
    /// Another call while this is under way is remembered: the configuration is read once more.
    pub fn reload(&mut self) {
        if let Err(error) = self.reload.begin() {
            self.refuse(&no_thread(&error));
        }
    }

    /// Returns true while a reload is under way.
    pub fn is_reloading(&self) -> bool {
        !matches!(self.reload.stage, Stage::Idle)
    }

    /// Does what there is to do, a little at a time.
    pub fn work(&mut self, fleet: &mut Fleet, now: Duration) {
        self.take_answers(fleet, now);
        self.look_up(fleet, now);
        while self.go_on_with_reload(fleet, now) {}
    }

    /// Returns when to call [`Inventory::work`] again, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let busy = (!self.changes.are_made()).then_some(Duration::ZERO);
        [busy, self.names.poll_timeout(), self.retry_at].into_iter().flatten().min()
    }

    /// Returns the descriptors that can be read when there is something to do.
    pub fn interrupts(&self) -> impl Iterator<Item = Interrupt<'_>> {
        let lookups = self.lookups.as_ref().map(AsFd::as_fd);
        lookups.into_iter().chain(self.reload.descriptor()).map(Interrupt::Readable)
    }

    /// Returns the pools of the configuration that is in force, without their targets.
    pub fn pools(&self) -> &[PoolConfig] {
        &self.reload.in_force.pools
    }

    /// Returns what may be checked on demand.
    pub fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.reload.in_force.terms)
    }

    /// Returns the text of the configuration that is in force.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.reload.in_force.text)
    }

    /// Returns the next line for the log. It is an error if a reload has failed.
    pub fn poll_report(&mut self) -> Option<Result<String, String>> {
        self.reports.pop_front()
    }

    /// Returns true once when another configuration is in force. Its targets may be yet to come,
    /// and those of the former one to go.
    pub fn take_new_pools(&mut self) -> bool {
        mem::take(&mut self.has_new_pools)
    }

    /// Returns true once at the start and after a reload: readers are to be told of all targets.
    pub fn take_snapshot_wish(&mut self) -> bool {
        mem::take(&mut self.wants_snapshot)
    }

    fn take_answers(&mut self, fleet: &mut Fleet, now: Duration) {
        let Some(lookups) = self.lookups.as_mut().filter(|_| self.names.are_pending()) else {
            return;
        };
        while let Some(event) = lookups.poll() {
            if let LookupEvent::Ended(id, found) = event {
                self.names.resolved(id, found, fleet, now);
            }
        }
    }

    /// Looks up the names that are due, all at once, because adding to a long queue takes long.
    fn look_up(&mut self, fleet: &mut Fleet, now: Duration) {
        let mut due = Vec::new();
        while let Some((id, host)) = self.names.poll(fleet, now) {
            match host {
                Host::Name(name) => due.push((id, name)),
                Host::LinkLocal(address, scope) => {
                    let found = interface_index(&scope)
                        .map(|index| vec![members::with_scope(address, index)])
                        .map_err(NoAddress::from);
                    self.names.resolved(id, found, fleet, now);
                }
            }
        }
        let retries = self.retry_at.take_if(|at| *at <= now).is_some();
        if due.is_empty() && !retries {
            return;
        }
        if let Some(lookups) = &self.lookups {
            if lookups.add(due).is_err() {
                self.retry_at = Some(now + RETRY);
            }
            return;
        }
        match Lookups::start(due.clone(), Family::Any) {
            Ok(lookups) => self.lookups = Some(lookups),
            Err(error) => {
                for (id, _) in due {
                    self.names.resolved(id, Err(error.clone().into()), fleet, now);
                }
            }
        }
    }

    /// Returns true if there is more to do at once.
    fn go_on_with_reload(&mut self, fleet: &mut Fleet, now: Duration) -> bool {
        match &self.reload.stage {
            Stage::Idle => return false,
            Stage::Reading(reading) => match reading.poll() {
                None => return false,
                Some(Ok(plan)) => self.resolve(plan, now),
                Some(Err(error)) => self.refuse(&error),
            },
            Stage::Resolving(_, ids) => match are_resolved(&self.names, ids) {
                Ok(false) => return false,
                Ok(true) => self.change(fleet, now),
                Err(error) => self.refuse(&error),
            },
            Stage::Changing => {
                self.changes.make_some(fleet, now);
                if !self.changes.are_made() {
                    return false;
                }
                self.wants_snapshot = true;
                self.end_reload(Ok("reload: done".to_owned()));
            }
        }
        true
    }

    /// Looks up the names of a plan that are new.
    fn resolve(&mut self, plan: Plan, now: Duration) {
        let hosts = plan.hosts().into_iter().filter(|host| !self.names.is_used(host));
        let new: Vec<_> = hosts.cloned().collect();
        let ids = new.iter().map(|host| self.names.await_host(host, now)).collect();
        self.reload.stage = Stage::Resolving(plan, ids);
    }

    /// Puts a plan into force whose names are resolved.
    fn change(&mut self, fleet: &mut Fleet, now: Duration) {
        if let Stage::Resolving(plan, ids) = mem::replace(&mut self.reload.stage, Stage::Changing) {
            self.reload.in_force = Arc::clone(&plan.next);
            self.has_new_pools = true;
            self.begin(plan, true, fleet, now);
            self.names.ask_again(now);
            for id in ids {
                self.names.release(id);
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        if let Stage::Resolving(_, ids) = mem::replace(&mut self.reload.stage, Stage::Idle) {
            for id in ids {
                self.names.release(id);
            }
        }
        self.end_reload(Err(format!("reload: {why}; nothing has changed")));
    }

    fn end_reload(&mut self, report: Result<String, String>) {
        self.reports.push_back(report);
        if self.reload.end() {
            self.reload();
        }
    }

    fn begin(&mut self, plan: Plan, is_news: bool, fleet: &mut Fleet, now: Duration) {
        let Self { changes, names, pools, .. } = self;
        changes.begin(plan, is_news, pools, (names, fleet), now);
    }
}

#[cfg(test)]
mod tests;

//! The targets that depend on the addresses of a host.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Answer, Named};
use crate::fleet::{Fleet, Member, Place};

/// A member of a pool, and the targets that it stands for: one, or one for each address.
///
/// While no address is known there is one target, so that there is something to hold or to be down.
#[derive(Debug)]
pub(super) struct Dependant {
    pool: u32,
    is_witness: bool,
    named: Named,
    /// Ids, each with the newest address.
    targets: Vec<(Option<SocketAddr>, u32)>,
    /// True if targets that are added are news.
    is_news: bool,
}

impl Dependant {
    /// Creates a member that has no targets yet.
    pub(super) fn new(pool: u32, is_witness: bool, named: Named, is_news: bool) -> Self {
        Self { pool, is_witness, named, targets: Vec::new(), is_news }
    }

    /// Returns true if it is this one.
    pub(super) fn is(&self, pool: u32, is_witness: bool, named: &Named) -> bool {
        (self.pool, self.is_witness, &self.named) == (pool, is_witness, named)
    }

    /// Tells of targets that are added from now on.
    pub(super) fn tell_additions(&mut self) {
        self.is_news = true;
    }

    /// Makes its targets what the answer says.
    pub(super) fn follow(&mut self, answer: &Answer, fleet: &mut Fleet, now: Duration) {
        match answer {
            Answer::Addresses(addresses) if self.named.every => {
                self.follow_each(addresses, fleet, now);
            }
            Answer::Addresses(addresses) => self.follow_one(addresses, fleet, now),
            Answer::None | Answer::Gone(_) | Answer::Fault(_) => {
                if self.targets.is_empty() {
                    let id = self.add(None, answer.place(), fleet, now);
                    self.targets.push((None, id));
                }
                for (_, id) in &self.targets {
                    fleet.set_place(*id, answer.place(), now);
                    if let Answer::Fault(why) = answer {
                        fleet.found(*id, why.clone(), now);
                    }
                }
            }
        }
    }

    /// Removes its targets.
    pub(super) fn leave(self, fleet: &mut Fleet, now: Duration) {
        for (_, id) in self.targets {
            fleet.remove(id, now);
        }
    }

    /// Stays at its address if the host still has it, and moves to the first one otherwise.
    fn follow_one(&mut self, addresses: &[SocketAddr], fleet: &mut Fleet, now: Duration) {
        let current = self.targets.first().and_then(|(address, _)| *address);
        let kept = current.filter(|address| addresses.contains(address));
        let address = kept.unwrap_or(addresses[0]);
        let place = self.named.place(address);
        if let Some((current, id)) = self.targets.first_mut() {
            *current = Some(address);
            fleet.set_place(*id, place, now);
        } else {
            let id = self.add(Some(address), place, fleet, now);
            self.targets.push((Some(address), id));
        }
    }

    /// Has one target for each address.
    fn follow_each(&mut self, addresses: &[SocketAddr], fleet: &mut Fleet, now: Duration) {
        let was_held = |(address, id): &(Option<SocketAddr>, u32)| {
            address.is_none() && fleet.health(*id).is_held()
        };
        let was_held = self.targets.iter().any(was_held);
        for address in addresses {
            let place = self.named.place(*address);
            let known = self.targets.iter().find(|(known, _)| *known == Some(*address));
            if let Some((_, id)) = known {
                fleet.set_place(*id, place, now);
            } else {
                let id = self.add(Some(*address), place, fleet, now);
                self.targets.push((Some(*address), id));
                if was_held {
                    fleet.check_at_once(id, now);
                }
            }
        }
        self.targets.retain(|(address, id)| {
            let stays = address.is_some_and(|address| addresses.contains(&address));
            if !stays {
                fleet.remove(*id, now);
            }
            stays
        });
    }

    fn add(
        &self,
        address: Option<SocketAddr>,
        place: Place,
        fleet: &mut Fleet,
        now: Duration,
    ) -> u32 {
        let label = Some(self.named.label(address.map(|address| address.ip())));
        let id = fleet.add(self.pool, Member { label, place, is_witness: self.is_witness }, now);
        if self.is_news {
            fleet.announce(id, now);
        }
        id
    }
}

impl Named {
    fn place(&self, mut address: SocketAddr) -> Place {
        address.set_port(self.port);
        Place::Endpoint(address)
    }
}

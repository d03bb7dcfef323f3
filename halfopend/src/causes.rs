//! Decides about which targets questions are asked, to find out why they are down: once after each
//! has gone down, and again if checks find another state.

use std::collections::HashMap;
use std::net::SocketAddr;

use halfopen::checker::Ended;
use halfopen::verdict::PortState;

/// The most targets that are asked about at a time. Others have to wait for a later check.
const AT_ONCE: usize = 16;

/// The targets that are asked about.
#[derive(Debug, Default)]
pub struct Causes {
    /// The targets that are down and about which questions were or are being asked, with what the
    /// check had found then.
    known: HashMap<u32, PortState>,
    under_way: HashMap<SocketAddr, u32>,
    next: Option<Ended>,
}

impl Causes {
    /// Records how a check of the target `id` has ended, and whether the target is down now.
    pub fn ended(&mut self, id: u32, ended: &Ended, is_down: bool) {
        if !is_down {
            self.known.remove(&id);
            return;
        }
        let Ok(verdict) = &ended.outcome else { return };
        let found = verdict.state();
        let is_news = found != PortState::Open && self.known.get(&id) != Some(&found);
        let has_room = self.under_way.len() < AT_ONCE && self.next.is_none();
        if is_news && has_room && !self.under_way.contains_key(&ended.remote) {
            self.known.insert(id, found);
            self.under_way.insert(ended.remote, id);
            self.next = Some(ended.clone());
        }
    }

    /// Returns the next target to ask about.
    pub fn poll(&mut self) -> Option<Ended> {
        self.next.take()
    }

    /// Records that a target has been explained. Returns its id, and what the check had found.
    pub fn explained(&mut self, remote: SocketAddr) -> Option<(u32, PortState)> {
        let id = self.under_way.remove(&remote)?;
        Some((id, *self.known.get(&id)?))
    }

    /// Forgets what is known of a target.
    pub fn forget(&mut self, id: u32) {
        self.known.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use halfopen::verdict::{Reason, Verdict};

    use super::*;

    fn ended(id: u32, reason: Reason) -> Ended {
        let remote = SocketAddr::from(([198, 18, 0, 1], u16::try_from(id).unwrap()));
        Ended { id, remote, outcome: Ok(Verdict::without_probe(reason)) }
    }

    fn silent(id: u32) -> Ended {
        ended(id, Reason::NoAnswer { syns: 3, waited: std::time::Duration::ZERO })
    }

    #[test]
    fn a_target_is_asked_about_once_until_it_is_up() {
        let mut causes = Causes::default();
        for (is_down, is_asked) in
            [(false, false), (true, true), (true, false), (false, false), (true, true)]
        {
            causes.ended(7, &silent(7), is_down);
            let asked = causes.poll();
            assert_eq!(asked.is_some(), is_asked);
            if let Some(asked) = asked {
                assert_eq!(causes.explained(asked.remote), Some((7, PortState::Filtered)));
            }
        }
    }

    #[test]
    fn it_is_asked_about_again_if_it_refuses_instead_of_being_silent() {
        let mut causes = Causes::default();
        causes.ended(7, &silent(7), true);
        let asked = causes.poll().unwrap();
        let refused = ended(7, Reason::RstAck);
        causes.ended(7, &refused, true);
        assert_eq!(causes.poll(), None, "one at a time");
        causes.explained(asked.remote);
        causes.ended(7, &refused, true);
        assert_eq!(causes.poll(), Some(refused));
    }

    #[test]
    fn of_many_targets_some_are_asked_about_at_a_time_and_then_others() {
        let mut causes = Causes::default();
        let asked = |causes: &mut Causes| {
            let ask = |id| {
                causes.ended(id, &silent(id), true);
                causes.poll()
            };
            (1..100).filter_map(ask).collect::<Vec<_>>()
        };
        let first = asked(&mut causes);
        assert_eq!(first.len(), AT_ONCE);
        assert_eq!(asked(&mut causes), []);
        for ended in &first[..5] {
            causes.explained(ended.remote);
        }
        let next = asked(&mut causes);
        assert_eq!(next.len(), 5);
        assert!(next.iter().all(|ended| !first.contains(ended)));
    }
}

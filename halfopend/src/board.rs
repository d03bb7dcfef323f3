//! What is known of the targets, for readers outside the loop: the agent, which runs on a thread of
//! its own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use crate::config::PoolConfig;
use crate::event::{Event, EventKind, TargetView};
use crate::fleet::health::State;

/// When an event is shown that arrived while a reader was looking.
const RETRY: Duration = Duration::from_millis(1);

/// What a load balancer is told of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// It is up.
    Up,
    /// It is down, for this reason.
    Down(String),
    /// Nothing: what it knows stands.
    NoChange,
}

/// What is known, by pool and target. Readers hold its lock while they look up one target. The loop
/// never waits for them: see [`Writer`].
#[derive(Default)]
pub struct Board(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// True while nothing at all answers.
    is_isolated: bool,
    pools: BTreeMap<Arc<str>, Pool>,
}

/// A pool that has readers.
#[derive(Default)]
struct Pool {
    agent: Option<SocketAddr>,
    holds_if_isolated: bool,
    /// How many targets it has, as far as is known.
    targets: u32,
    /// Targets of which something is known, by what the operator wrote and by id: the addresses of
    /// a name may be several. (In order, because a table that grows at once would delay the loop.)
    members: BTreeMap<(Box<str>, u32), Member>,
}

struct Member {
    advertised: State,
    is_held: bool,
    /// True if its answers say nothing about the network.
    is_local: bool,
    reason: Option<Box<str>>,
}

impl Board {
    /// Returns what the agent at `agent` says of a target of one of its pools.
    pub fn advice(&self, agent: SocketAddr, pool: &str, target: &str) -> Advice {
        let table = self.read();
        let pool = table.pools.get(pool).filter(|pool| pool.agent == Some(agent));
        pool.map_or(Advice::NoChange, |pool| pool.advice(target, table.is_isolated))
    }

    /// Returns what the agent at `agent` says of its target, if it has exactly one.
    pub fn only_advice(&self, agent: SocketAddr) -> Option<Advice> {
        let table = self.read();
        let mut pools =
            table.pools.values().filter(|pool| pool.agent == Some(agent) && pool.targets > 0);
        let pool = pools.next().filter(|pool| pool.targets == 1)?;
        let ((target, _), _) = pool.members.first_key_value()?;
        pools.next().is_none().then(|| pool.advice(target, table.is_isolated))
    }

    fn read(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Returns the advice that holds for each target of this name, if there is one.
    fn advice(&self, target: &str, is_isolated: bool) -> Advice {
        let ids = (target.into(), 0)..=(target.into(), u32::MAX);
        let mut members = self.members.range(ids).map(|(_, member)| member);
        let Some(first) = members.next() else { return Advice::NoChange };
        let is_hidden = |member: &Member| {
            member.is_held || is_isolated && self.holds_if_isolated && !member.is_local
        };
        if is_hidden(first)
            || members.any(|other| is_hidden(other) || other.advertised != first.advertised)
        {
            return Advice::NoChange;
        }
        match first.advertised {
            State::Up => Advice::Up,
            State::Down => Advice::Down(first.reason.as_deref().unwrap_or("down").into()),
            State::Unknown => Advice::NoChange,
        }
    }
}

/// Writes events on the board. While a reader is looking, they wait here: the loop does not.
pub struct Writer {
    board: Arc<Board>,
    waiting: VecDeque<Event>,
}

impl Writer {
    /// Creates the only writer of a board.
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, waiting: VecDeque::new() }
    }

    /// Chooses the pools that are shown: those with an agent. What is known of their targets stays.
    /// Waits for a reader, if there is one.
    pub fn show(&mut self, pools: &[PoolConfig]) {
        let mut table = self.board.read();
        let mut old = std::mem::take(&mut table.pools);
        for PoolConfig { settings, agent, .. } in pools.iter().filter(|pool| pool.agent.is_some()) {
            let known = old.remove(&settings.name).unwrap_or_default();
            let holds_if_isolated = settings.holds_if_isolated;
            let pool = Pool { agent: *agent, holds_if_isolated, ..known };
            table.pools.insert(settings.name.clone(), pool);
        }
    }

    /// Shows an event, at once or as soon as no reader is looking.
    pub fn write(&mut self, event: Event) {
        self.waiting.push_back(event);
        self.flush();
    }

    /// Shows what waits, unless a reader is looking.
    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut table = match self.board.0.try_lock() {
            Ok(table) => table,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for event in self.waiting.drain(..) {
            table.apply(event);
        }
    }

    /// Returns when to call [`Writer::flush`] again, if something waits.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        (!self.waiting.is_empty()).then(|| now + RETRY)
    }
}

impl Table {
    fn apply(&mut self, event: Event) {
        match (event.kind, &event.target) {
            (EventKind::Isolated, None) => self.is_isolated = true,
            (EventKind::Released, None) => self.is_isolated = false,
            _ => {}
        }
        let Some(view) = event.pool else { return };
        let Some(pool) = self.pools.get_mut(&view.name) else { return };
        pool.targets = view.targets;
        let Some(TargetView { id, label, endpoint, advertised, is_held, reason, .. }) =
            event.target
        else {
            return;
        };
        if event.kind == EventKind::Removed {
            pool.members.remove(&(label, id));
            return;
        }
        let is_local = endpoint.is_some_and(|endpoint| endpoint.ip().is_loopback());
        let reason = reason.filter(|_| advertised == State::Down).map(String::into_boxed_str);
        pool.members.insert((label, id), Member { advertised, is_held, is_local, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PoolView;

    const AGENT: &str = "127.0.0.1:10116";

    fn agent() -> SocketAddr {
        AGENT.parse().unwrap()
    }

    fn board(pools: &[&str]) -> (Arc<Board>, Writer) {
        let board = Arc::<Board>::default();
        let mut writer = Writer::new(Arc::clone(&board));
        writer.show(&pools.iter().map(|name| config(name)).collect::<Vec<_>>());
        (board, writer)
    }

    fn config(name: &str) -> PoolConfig {
        PoolConfig { agent: Some(agent()), ..PoolConfig::named(name) }
    }

    fn view(label: &str, advertised: State) -> TargetView {
        TargetView {
            id: 0,
            label: label.into(),
            endpoint: label.parse().ok(),
            from: State::Unknown,
            to: advertised,
            finding: None,
            reason: Some("no answer".to_owned()),
            count: 1,
            advertised,
            is_held: false,
        }
    }

    fn event(kind: EventKind, pool: &str, targets: u32, target: Option<TargetView>) -> Event {
        let pool =
            PoolView { name: pool.into(), up: 0, targets, fails_open: false, fails_open_at: None };
        Event { sequence: 1, kind, pool: Some(pool), target }
    }

    fn everywhere(kind: EventKind) -> Event {
        Event { sequence: 1, kind, pool: None, target: None }
    }

    #[test]
    fn what_is_advertised_is_shown_and_what_is_hidden_is_not() {
        let (board, mut writer) = board(&["web"]);
        let target = "192.0.2.7:443";
        let look = || board.advice(agent(), "web", target);
        assert_eq!(look(), Advice::NoChange);
        writer.write(event(EventKind::Up, "web", 2, Some(view(target, State::Up))));
        assert_eq!(look(), Advice::Up);
        let down = view(target, State::Down);
        writer.write(event(EventKind::Down, "web", 2, Some(down.clone())));
        assert_eq!(look(), Advice::Down("no answer".to_owned()));
        let held = TargetView { is_held: true, ..down.clone() };
        writer.write(event(EventKind::Held, "web", 2, Some(held)));
        assert_eq!(look(), Advice::NoChange);
        let open = TargetView { advertised: State::Up, ..down };
        writer.write(event(EventKind::FailOpen, "web", 2, Some(open.clone())));
        assert_eq!(look(), Advice::Up);
        writer.write(event(EventKind::Removed, "web", 1, Some(open)));
        assert_eq!(look(), Advice::NoChange);
    }

    #[test]
    fn isolation_hides_what_depends_on_the_network() {
        let (board, mut writer) = board(&["web"]);
        let ignoring = PoolConfig {
            settings: crate::fleet::PoolSettings {
                holds_if_isolated: false,
                ..config("ignoring").settings
            },
            ..config("ignoring")
        };
        writer.show(&[config("web"), ignoring]);
        let (far, local) = ("192.0.2.7:443", "127.0.0.1:22");
        for (pool, target) in [("web", far), ("web", local), ("ignoring", far)] {
            writer.write(event(EventKind::Up, pool, 2, Some(view(target, State::Up))));
        }
        writer.write(everywhere(EventKind::Isolated));
        assert_eq!(board.advice(agent(), "web", far), Advice::NoChange);
        assert_eq!(board.advice(agent(), "web", local), Advice::Up);
        assert_eq!(board.advice(agent(), "ignoring", far), Advice::Up);
        writer.write(everywhere(EventKind::Released));
        assert_eq!(board.advice(agent(), "web", far), Advice::Up);
    }

    #[test]
    fn addresses_of_a_name_that_differ_change_nothing() {
        let (board, mut writer) = board(&["web"]);
        let name = "web.example:443";
        let first = view(name, State::Up);
        let second = TargetView { id: 1, ..view(name, State::Down) };
        writer.write(event(EventKind::Up, "web", 2, Some(first.clone())));
        assert_eq!(board.advice(agent(), "web", name), Advice::Up);
        writer.write(event(EventKind::Down, "web", 2, Some(second)));
        assert_eq!(board.advice(agent(), "web", name), Advice::NoChange);
        let fallen = TargetView { advertised: State::Down, ..first };
        writer.write(event(EventKind::Down, "web", 2, Some(fallen)));
        assert_eq!(board.advice(agent(), "web", name), Advice::Down("no answer".to_owned()));
    }

    #[test]
    fn only_one_target_needs_no_name() {
        let (board, mut writer) = board(&["web", "mail"]);
        let target = "192.0.2.7:443";
        assert_eq!(board.only_advice(agent()), None);
        writer.write(event(EventKind::Up, "web", 1, Some(view(target, State::Up))));
        assert_eq!(board.only_advice(agent()), Some(Advice::Up));
        let other = "127.0.0.1:1".parse().unwrap();
        assert_eq!(
            (board.only_advice(other), board.advice(other, "web", target)),
            (None, Advice::NoChange)
        );
        writer.write(event(EventKind::Up, "mail", 1, Some(view(target, State::Up))));
        assert_eq!(board.only_advice(agent()), None);
        writer.show(&[config("web")]);
        assert_eq!(board.only_advice(agent()), Some(Advice::Up));
        writer.write(event(EventKind::Added, "web", 2, None));
        assert_eq!(board.only_advice(agent()), None);
    }

    #[test]
    fn the_loop_does_not_wait_for_a_reader() {
        let (board, mut writer) = board(&["web"]);
        let target = "192.0.2.7:443";
        let reading = board.read();
        writer.write(event(EventKind::Up, "web", 2, Some(view(target, State::Up))));
        writer.write(event(EventKind::Down, "web", 2, Some(view(target, State::Down))));
        assert_eq!(writer.poll_timeout(Duration::ZERO), Some(RETRY));
        drop(reading);
        writer.flush();
        assert_eq!(writer.poll_timeout(Duration::ZERO), None);
        assert_eq!(board.advice(agent(), "web", target), Advice::Down("no answer".to_owned()));
    }
}

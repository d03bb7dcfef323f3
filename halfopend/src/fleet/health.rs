//! Rise and fall: what the checks of a target, one after the other, say about its state.

use std::time::Duration;

use super::time::Time;

/// How long a target may be held by faults of this machine before its state is unknown.
const LONGEST_HOLD: Duration = Duration::from_mins(5);

/// What is known of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// Nothing yet, or nothing any more.
    #[default]
    Unknown,
    /// Its port is open.
    Up,
    /// Its port is not open.
    Down,
}

impl State {
    /// Returns its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What one check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The port is open.
    Open,
    /// It is not, and the host itself said so: an RST, or port unreachable. Loss cannot fake that.
    Refused,
    /// It is not, as far as a device on the way or an odd answer can tell.
    Rejected,
    /// Its name does not exist any more.
    Gone,
    /// Nothing answered.
    Silent,
    /// Nothing answered, and nothing else did at that time. It may be this machine's own network.
    Unproven,
    /// Nothing, because of a fault of this machine.
    Fault,
}

/// How many checks in a row change the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Good ones, until the target is up.
    pub rise: u8,
    /// Bad ones, until it is down.
    pub fall: u8,
    /// Bad ones, if the host refused in each of them.
    pub fall_refused: u8,
}

/// What a finding has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The state, from that one, after so many checks.
    State(State, u8),
    /// The target is held from now on: a fault of this machine hides it.
    Held,
    /// It is held no more.
    Released,
}

/// The state of a target, and what the checks since its last change have said.
#[derive(Debug, Clone, Default)]
pub struct Health {
    state: State,
    /// How many checks in a row have said the opposite of the state.
    count: u8,
    /// How many of the newest ones among them were refusals.
    refusals: u8,
    /// True if the newest bad check that counted was a refusal.
    refuses: bool,
    /// True if the newest check proved nothing.
    is_in_doubt: bool,
    /// When the first of the faults came that hide the target now.
    held_since: Option<Time>,
}

impl Health {
    /// Returns the state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns how many checks in a row have said the opposite of the state.
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Returns true if a fault of this machine hides the target.
    pub fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Returns true if the state may be about to change.
    pub fn is_changing(&self) -> bool {
        !self.is_held() && (self.count > 0 || self.is_in_doubt)
    }

    /// Returns true if the newest check proved nothing, and the target is not down.
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Returns true if silence would change what is known.
    pub fn is_at_stake(&self) -> bool {
        self.state != State::Down || self.count > 0
    }

    /// Returns true if the target is down and its host does not refuse: it may only be unreachable.
    pub fn is_down_by_silence(&self) -> bool {
        self.state == State::Down && !self.refuses
    }

    /// Records what a check found that ended at `now`. Returns what changes, in this order: the end
    /// or the beginning of a hold, and the state.
    pub fn observe(
        &mut self,
        finding: Finding,
        rules: Rules,
        now: Duration,
    ) -> [Option<Change>; 2] {
        self.is_in_doubt = finding == Finding::Unproven && self.state != State::Down;
        let says = match finding {
            Finding::Fault => return [self.hold(now), self.forget_if_held_too_long(now)],
            Finding::Unproven => return [None, None],
            Finding::Open => State::Up,
            Finding::Refused | Finding::Rejected | Finding::Gone | Finding::Silent => State::Down,
        };
        let released = self.held_since.take().map(|_| Change::Released);
        [released, self.count_in(says, finding == Finding::Refused, rules)]
    }

    /// Forgets the checks that were counted since the last change of the state.
    pub fn start_over(&mut self) {
        (self.count, self.refusals) = (0, 0);
    }

    fn hold(&mut self, now: Duration) -> Option<Change> {
        let begins = self.held_since.is_none();
        self.held_since.get_or_insert(now.into());
        begins.then_some(Change::Held)
    }

    fn forget_if_held_too_long(&mut self, now: Duration) -> Option<Change> {
        let since = self.held_since?;
        (self.state != State::Unknown && now.saturating_sub(since.into()) >= LONGEST_HOLD)
            .then(|| self.change_to(State::Unknown))
    }

    fn count_in(&mut self, says: State, is_refusal: bool, rules: Rules) -> Option<Change> {
        if says == State::Down {
            self.refuses = is_refusal;
        }
        if says == self.state {
            self.start_over();
            return None;
        }
        self.count = self.count.saturating_add(1);
        self.refusals = if is_refusal { self.refusals.saturating_add(1) } else { 0 };
        let is_enough = match (self.state, says) {
            (State::Unknown, _) => true,
            (_, State::Up) => self.count >= rules.rise,
            _ => self.count >= rules.fall || self.refusals >= rules.fall_refused,
        };
        is_enough.then(|| self.change_to(says))
    }

    fn change_to(&mut self, state: State) -> Change {
        let change = Change::State(self.state, self.count);
        self.start_over();
        self.state = state;
        change
    }
}

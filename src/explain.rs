//! Finds out why a target is not open: asks its host a few more questions, within the same
//! deadline, and draws the cause from the answers.
//!
//! Like the [`Checker`](crate::checker::Checker), it is pure. It changes no verdict.

mod cause;
mod crowd;
mod evidence;
mod explanation;
mod facts;
mod inquiry;
mod memory;
mod next;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use self::cause::{Cause, Refuser, cause};
pub use self::evidence::{Answered, Asked, Evidence, Reply, ReplyKind};
pub use self::explanation::Explanation;

use self::crowd::Crowd;
use self::evidence::hops;
use self::inquiry::Inquiry;
use self::memory::Memory;
use crate::attempt::Attempts;
use crate::checker::Ended;
use crate::event::Event;
use crate::probe::{self, Secret};
use crate::question::{Question, QuestionKind};
use crate::surroundings::Surroundings;
use crate::wire::{Flags, Segment};

/// The most inquiries at a time.
const AT_ONCE: usize = 256;

/// The longest time for an inquiry that begins after the end of a target, when nobody waits for it.
const UNHURRIED: Duration = Duration::from_secs(3);

/// Explains how targets end.
///
/// # Call order
///
/// [`event_loop::run`](crate::event_loop::run) does all of this: [`begin`](Self::begin) when the
/// last SYN to a silent target has left, [`conclude`](Self::conclude) when a target has ended,
/// [`handle`](Self::handle) for everything that arrives, [`poll_question`](Self::poll_question) and
/// [`asked`](Self::asked) to send, and [`poll_explained`](Self::poll_explained) for the results.
pub struct Explainer {
    secret: Secret,
    /// Questions have source ports behind those of the attempts.
    attempts: Attempts,
    /// When the run ends, and all that is known by then must do.
    deadline: Duration,
    inquiries: Vec<Inquiry>,
    /// The target that the question is about which was polled last.
    asking: Option<SocketAddr>,
    explained: VecDeque<(Ended, Option<Explanation>)>,
    /// The explanations of targets whose end was reported before.
    found: VecDeque<(SocketAddr, Explanation)>,
    rsts: VecDeque<Segment>,
    memory: Memory,
    crowd: Crowd,
    numbers: u64,
}

impl Explainer {
    /// Creates an explainer for checks that make this number of attempts, and end by `deadline`.
    pub fn new(secret: Secret, attempts: Attempts, deadline: Duration) -> Self {
        Self {
            secret,
            attempts,
            deadline,
            inquiries: Vec::new(),
            asking: None,
            explained: VecDeque::new(),
            found: VecDeque::new(),
            rsts: VecDeque::new(),
            memory: Memory::default(),
            crowd: Crowd::default(),
            numbers: 0,
        }
    }

    /// Begins to ask about the target `id` at `remote`, whose last SYN has left and which is silent
    /// so far. Its verdict comes at `until`.
    pub fn begin(
        &mut self,
        (id, remote): (u32, SocketAddr),
        surroundings: impl FnOnce() -> Surroundings,
        now: Duration,
        until: Duration,
    ) {
        if self.find(remote).is_none() && self.has_room_for(remote.ip()) {
            let evidence = Evidence::new(remote, surroundings());
            self.inquiries.push(Inquiry::new(id, evidence, now, until.min(self.deadline)));
        }
    }

    /// Explains a target that has ended, sooner or later: [`Explainer::poll_explained`] returns it.
    pub fn conclude(
        &mut self,
        ended: Ended,
        surroundings: impl FnOnce() -> Surroundings,
        now: Duration,
    ) {
        let remote = ended.remote;
        let answer = self.memory.answer_of(remote);
        if self.find(remote).is_none() {
            let until = now + inquiry::time_for(ended.outcome.as_ref().ok());
            self.begin((ended.id, remote), Surroundings::default, now, until);
        }
        match self.find(remote) {
            Some(index) => self.inquiries[index].conclude(ended, answer, surroundings(), now),
            None => self.explained.push_back((ended, None)),
        }
        self.handle_timeout(now);
    }

    /// Begins to ask about a target whose end was reported before: [`Explainer::poll_found`]
    /// returns why it ended so. One that cannot be asked about, because of others, has an unknown
    /// cause.
    pub fn inquire(&mut self, ended: Ended, surroundings: Surroundings, now: Duration) {
        let remote = ended.remote;
        if self.find(remote).is_some() || self.inquiries.len() >= AT_ONCE {
            self.found.push_back((remote, Explanation::unknown()));
            return;
        }
        let evidence = Evidence::new(remote, surroundings.clone());
        let until = (now + UNHURRIED).min(self.deadline);
        let mut inquiry = Inquiry::new(ended.id, evidence, now, until);
        inquiry.conclude(ended, self.memory.answer_of(remote), surroundings, now);
        inquiry.is_reported = true;
        self.inquiries.push(inquiry);
        self.handle_timeout(now);
    }

    /// Gives up the inquiry about `remote`, which needs no explanation, unless it has ended before.
    pub fn cancel(&mut self, remote: SocketAddr) {
        if let Some(index) = self.find(remote)
            && !self.inquiries[index].is_reported
        {
            self.close(index, Duration::MAX);
        }
    }

    /// Forgets answers that have not ended a target.
    pub fn forget_answers(&mut self) {
        self.memory.answers.clear();
    }

    /// Returns true if no target waits for its explanation.
    pub fn is_idle(&self) -> bool {
        self.inquiries.iter().all(|inquiry| !inquiry.has_ended()) && self.explained.is_empty()
    }

    /// Handles an event that happened at `now`. Returns true if it answers a question, and false if
    /// it is for the checker.
    pub fn handle(&mut self, event: &Event, now: Duration) -> bool {
        let mut inquiries = self.inquiries.iter_mut();
        let is_ours = inquiries.any(|inquiry| inquiry.handle(event, now))
            || matches!(event, Event::Segment { segment, .. } if self.acknowledges_syn(segment));
        // An answer to a question, such as an RST with window 0, has decided nothing.
        if !is_ours && let Event::Segment { segment, hop_limit, .. } = event {
            let answer = Answered { hop_limit: *hop_limit, window: segment.window };
            self.memory.answers.push((segment.source, answer));
        }
        if is_ours
            && let Event::Segment { segment, reset_by_kernel: false, .. } = event
            && segment.flags.contains(Flags::SYN | Flags::ACK)
        {
            self.rsts.push_back(probe::rst(segment));
        }
        self.handle_timeout(now);
        is_ours
    }

    /// Returns the next RST to send.
    pub fn poll_rst(&mut self) -> Option<Segment> {
        self.rsts.pop_front()
    }

    /// Returns the next question to send. Report what became of it by [`Explainer::asked`] or
    /// [`Explainer::not_asked`] before any other call.
    pub fn poll_question(&mut self) -> Option<Question> {
        let (index, step) = self
            .inquiries
            .iter_mut()
            .enumerate()
            .find_map(|(index, inquiry)| Some((index, inquiry.poll_step()?)))?;
        self.numbers += 1;
        let [a, b, c, d, ..] = self.secret.hash((step.1, self.numbers)).to_le_bytes();
        let number = u32::from_le_bytes([a, b, c, d]);
        let inquiry = &self.inquiries[index];
        self.asking = Some(inquiry.remote());
        Some(inquiry.question(step, number, self.attempts))
    }

    /// Reports that `question` left from `local` at `now`.
    pub fn asked(&mut self, question: Question, local: Option<SocketAddr>, now: Duration) {
        let index = self.asking.take().and_then(|remote| self.find(remote));
        if let Some(index) = index {
            self.inquiries[index].asked(Asked { question, at: now, local, reply: None });
        }
    }

    /// Reports that questions of that kind about the target of the last one cannot be asked, and
    /// why. (Other targets may be asked by another engine, or in another address family.)
    pub fn not_asked(&mut self, kind: QuestionKind, why: String, now: Duration) {
        let index = self.asking.take().and_then(|remote| self.find(remote));
        if let Some(index) = index {
            self.inquiries[index].cannot_ask(kind, why);
        }
        self.handle_timeout(now);
    }

    /// Moves all inquiries on to `now`, and ends those that have nothing left to ask.
    pub fn handle_timeout(&mut self, now: Duration) {
        let mut index = 0;
        while index < self.inquiries.len() {
            let inquiry = &mut self.inquiries[index];
            inquiry.advance(now);
            if inquiry.has_ended() && inquiry.is_over(now) {
                self.close(index, now);
            } else {
                index += 1;
            }
        }
    }

    /// Returns when to call [`Explainer::handle_timeout`] and [`Explainer::poll_explained`] next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.explained.is_empty() || !self.found.is_empty() {
            return Some(Duration::ZERO);
        }
        self.inquiries.iter().filter_map(Inquiry::poll_timeout).min()
    }

    /// Returns the next target that has ended, with its explanation, if there is one.
    pub fn poll_explained(&mut self) -> Option<(Ended, Option<Explanation>)> {
        self.explained.pop_front()
    }

    /// Returns the next target that was asked about after its end, and why it ended so.
    pub fn poll_found(&mut self) -> Option<(SocketAddr, Explanation)> {
        self.found.pop_front()
    }

    /// Explains all targets that have ended by what is known at `now`.
    pub fn stop(&mut self, now: Duration) {
        while !self.inquiries.is_empty() {
            self.close(0, now);
        }
    }

    /// Returns true if `segment` acknowledges the SYN of a question, wherever it comes from.
    fn acknowledges_syn(&self, segment: &Segment) -> bool {
        let number = segment.acknowledgement.0.wrapping_sub(1);
        let syn = (segment.destination, number);
        segment.flags.contains(Flags::ACK)
            && (self.memory.has(syn)
                || self.inquiries.iter().any(|inquiry| inquiry.syns().any(|asked| asked == syn)))
    }

    fn find(&self, remote: SocketAddr) -> Option<usize> {
        self.inquiries.iter().position(|inquiry| inquiry.remote() == remote)
    }

    /// Ends an inquiry.
    fn close(&mut self, index: usize, now: Duration) {
        let inquiry = self.inquiries.swap_remove(index);
        self.memory.remember(inquiry.syns());
        let is_reported = inquiry.is_reported;
        let Some((ended, explanation)) = inquiry.explain(now) else { return };
        if is_reported {
            let explanation = explanation.unwrap_or_else(Explanation::unknown);
            self.found.push_back((ended.remote, explanation));
        } else {
            self.explained.push_back((ended, explanation));
        }
    }

    /// Returns true if a target with this address is to be explained, and counts it.
    fn has_room_for(&mut self, address: IpAddr) -> bool {
        if self.inquiries.len() >= AT_ONCE {
            return false;
        }
        self.crowd.admits(address)
    }
}

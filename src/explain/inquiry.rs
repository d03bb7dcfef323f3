//! The questions about one target, round by round.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::Explanation;
use super::cause::cause;
use super::evidence::{Answered, Asked, Evidence, Reply, ReplyKind};
use super::facts::facts;
use super::next::{Step, next};
use crate::attempt::{Attempts, SourcePort};
use crate::checker::Ended;
use crate::event::{Event, HandshakeEnd};
use crate::question::{Question, QuestionKind};
use crate::surroundings::Surroundings;
use crate::verdict::Verdict;
use crate::wire::{Flags, Segment};

/// How many rounds of questions fit into the time of an inquiry.
const ROUNDS: u32 = 6;

/// The limits of a round's length after a verdict that came by an answer: a few times as long as
/// that answer took.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);

/// The time after which a question counts as unanswered, at least: few hosts are farther away.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// Returns how long an inquiry may take that begins after `verdict`.
pub(super) fn time_for(verdict: Option<&Verdict>) -> Duration {
    let response_time = verdict.and_then(|verdict| verdict.response_time).unwrap_or_default();
    (response_time * 3).clamp(SHORTEST, LONGEST) * ROUNDS
}

/// The questions about one target.
pub(super) struct Inquiry {
    /// The id of the target.
    id: u32,
    evidence: Evidence,
    /// What is to be sent now.
    steps: VecDeque<Step>,
    /// The length of a round.
    round: Duration,
    /// When the next round begins, unless all is answered earlier.
    next_round: Duration,
    /// When the inquiry ends.
    until: Duration,
    /// True if there is nothing left to ask.
    is_settled: bool,
    /// How the target ended, once it has.
    ended: Option<Ended>,
    /// True if its end was reported before it is explained.
    pub(super) is_reported: bool,
}

impl Inquiry {
    pub(super) fn new(id: u32, evidence: Evidence, now: Duration, until: Duration) -> Self {
        let round = until.saturating_sub(now) / ROUNDS;
        Self {
            id,
            evidence,
            steps: VecDeque::new(),
            round,
            next_round: now,
            until,
            is_settled: false,
            ended: None,
            is_reported: false,
        }
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.evidence.remote
    }

    /// Returns the question of a step. ACKs and SYNs leave from ports of their own, which no
    /// attempt has used: a firewall sees no connection that it knows.
    pub(super) fn question(&self, step: Step, number: u32, attempts: Attempts) -> Question {
        let (kind, remote, hop_limit) = step;
        let port = attempts.count() + usize::from(kind == QuestionKind::Syn);
        let source = SourcePort::Fresh(port);
        Question { kind, id: self.id, remote, source, hop_limit, number }
    }

    /// Returns true if the target has ended and waits for the explanation.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Records how the target ended, and the segment that decided, if one did.
    pub(super) fn conclude(
        &mut self,
        ended: Ended,
        answer: Option<Answered>,
        surroundings: Surroundings,
        now: Duration,
    ) {
        self.evidence.surroundings = surroundings;
        if let Ok(Verdict { response_time: Some(_), .. }) = ended.outcome {
            // The last wait is over before its time.
            self.until = self.until.min(now + self.round * ROUNDS);
            self.evidence.answer = answer;
        }
        self.evidence.outcome = Some(ended.outcome.clone());
        self.ended = Some(ended);
        self.is_settled = false;
    }

    /// Records that questions of a kind cannot be asked, and why.
    pub(super) fn cannot_ask(&mut self, kind: QuestionKind, why: String) {
        self.evidence.cannot_ask.push((kind, why));
        self.steps.retain(|(other, ..)| *other != kind);
    }

    /// Plans the next round if its time has come, or if all questions are answered.
    pub(super) fn advance(&mut self, now: Duration) {
        let has_time = self.steps.is_empty() && !self.is_settled && now < self.until;
        if has_time && (now >= self.next_round || self.evidence.is_all_answered()) {
            self.steps = next(&self.evidence).into();
            self.is_settled = self.steps.is_empty();
            self.next_round = now + self.round;
        }
    }

    /// Returns true if nothing more can be learnt by `now`.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.until || self.is_settled && now >= self.settled_at()
    }

    /// Returns when the last questions have had their time, if nobody waits for the explanation.
    fn settled_at(&self) -> Duration {
        let unanswered = self.evidence.asked.iter().filter(|asked| asked.reply.is_none());
        let last = unanswered.map(|asked| asked.at).max().filter(|_| self.is_reported);
        last.map_or(Duration::ZERO, |last| (last + self.patience()).min(self.until))
    }

    /// Returns the time after which a question counts as unanswered.
    fn patience(&self) -> Duration {
        (self.round * 2).max(ANSWERED_WITHIN)
    }

    /// Returns the next question to send.
    pub(super) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    pub(super) fn asked(&mut self, asked: Asked) {
        self.evidence.asked.push(asked);
    }

    /// Returns when to advance next.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let next_round = match (self.is_settled, self.is_reported) {
            (true, true) => self.settled_at(),
            (true, false) => self.until,
            (false, _) => self.next_round.min(self.until),
        };
        (self.steps.is_empty() && (self.has_ended() || !self.is_settled)).then_some(next_round)
    }

    /// Takes in an event. Returns true if it answers a question.
    pub(super) fn handle(&mut self, event: &Event, now: Duration) -> bool {
        if let Event::WrongChecksum { source, .. } = event
            && source.ip() == self.evidence.remote.ip()
        {
            self.evidence.damaged += 1;
        }
        if let Event::Segment { segment, .. } = event {
            self.note_answer_from_elsewhere(segment);
        }
        let mut asked = self.evidence.asked.iter_mut();
        let Some(asked) = asked.find(|asked| is_answer(asked, event)) else { return false };
        let Some((kind, hop_limit)) = read(event) else { return false };
        asked.reply.get_or_insert(Reply { after: now.saturating_sub(asked.at), hop_limit, kind });
        true
    }

    fn note_answer_from_elsewhere(&mut self, segment: &Segment) {
        let target = self.evidence.remote;
        let is_acknowledged = |asked: &Asked| {
            asked.question.remote == target
                && Some(segment.destination) == asked.local
                && asked.question.is_answered_by(segment)
        };
        let is_syn_ack = segment.flags.contains(Flags::SYN | Flags::ACK);
        if is_syn_ack && segment.source != target && self.evidence.asked.iter().any(is_acknowledged)
        {
            self.evidence.answered_from = Some(segment.source);
        }
    }

    /// Returns the endpoint that each SYN left from, and its number.
    pub(super) fn syns(&self) -> impl Iterator<Item = (SocketAddr, u32)> {
        let syns = self.evidence.asked.iter();
        syns.filter(|asked| asked.question.kind == QuestionKind::Syn)
            .filter_map(|asked| Some((asked.local?, asked.question.number)))
    }

    /// Returns how the target ended, if it has, and why. Questions that have had little time for
    /// their answers show nothing.
    pub(super) fn explain(mut self, now: Duration) -> Option<(Ended, Option<Explanation>)> {
        let waited = now.saturating_sub(self.patience());
        self.evidence.asked.retain(|asked| asked.reply.is_some() || asked.at <= waited);
        let ended = self.ended?;
        let explanation = cause(&self.evidence)
            .map(|cause| Explanation { evidence: facts(&self.evidence, &cause), cause });
        Some((ended, explanation))
    }
}

/// Returns the answer that an event is if it is one, and the hop limit that it arrived with.
fn read(event: &Event) -> Option<(ReplyKind, Option<u8>)> {
    match event {
        Event::Segment { segment, hop_limit, .. } => {
            let open = segment.flags.contains(Flags::SYN);
            let kind = if open { ReplyKind::SynAck } else { ReplyKind::Reset };
            Some((kind, Some(*hop_limit)))
        }
        Event::EchoReply { hop_limit, .. } => Some((ReplyKind::Echo, Some(*hop_limit))),
        Event::Icmp(error, _) => Some((ReplyKind::Icmp(*error), error.hop_limit)),
        Event::Handshake { end, .. } => ended_by(*end).map(|kind| (kind, None)),
        Event::WrongChecksum { .. } | Event::SegmentsLost(_) => None,
    }
}

/// Returns true if `event` answers that question.
fn is_answer(asked: &Asked, event: &Event) -> bool {
    let Asked { question, local, .. } = asked;
    match event {
        Event::Segment { segment, .. } => {
            segment.source == question.remote
                && Some(segment.destination) == *local
                && question.is_answered_by(segment)
        }
        Event::Icmp(_, quote) => {
            question.kind != QuestionKind::Echo
                && quote.remote == question.remote
                && local.is_some_and(|local| local.port() == quote.local_port)
                && quote.sequence.0 == question.number
        }
        Event::EchoReply { remote, number, .. } => {
            question.kind == QuestionKind::Echo
                && *remote == question.remote.ip()
                && *number == question.number
        }
        Event::Handshake { local: from, remote, end, .. } => {
            question.kind == QuestionKind::Syn
                && *remote == question.remote
                && Some(*from) == *local
                && ended_by(*end).is_some()
        }
        _ => false,
    }
}

/// Returns what ended a handshake, if something did that came from the network.
fn ended_by(end: HandshakeEnd) -> Option<ReplyKind> {
    match end {
        HandshakeEnd::Completed => Some(ReplyKind::SynAck),
        HandshakeEnd::Refused => Some(ReplyKind::Reset),
        HandshakeEnd::Failed(error) => Some(ReplyKind::Icmp(error)),
        HandshakeEnd::Aborted | HandshakeEnd::GivenUp => None,
    }
}

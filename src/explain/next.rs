//! Which questions are worth asking next.

use std::net::SocketAddr;

use super::evidence::{Asked, Evidence, Purpose, ReplyKind, Situation};
use crate::question::QuestionKind;

/// The most questions about one target.
pub(super) const MOST: usize = 10;

/// The most questions that are sent together.
const TOGETHER: usize = 3;

/// How often a question is repeated that gets no answer.
const REPEATED: usize = 3;

/// The number of unanswered ACKs that prove that something drops them, after a first one: if one
/// packet in ten is lost each way, one check in twenty thousand loses that many.
pub(super) const DROPPED: usize = 5;

/// How often a SYN is sent to a port whose first ones are unanswered, before they count as dropped
/// and not as lost.
const SYNS: usize = 6;

/// The number of unanswered questions that prove that a host is silent, beside those that may not
/// have reached it: ACKs to the port, echo requests, and SYNs to other ports.
const SILENT: usize = 8;
const SILENT_ACKS: usize = 2;
const SILENT_ECHOES: usize = 3;

/// Hop limits by which the last router that answers is looked for, when nothing else does.
const TRACE: [u8; 2] = [1, 3];

/// Ports to ask for comparison, beside the target's.
const OTHER_PORTS: [u16; 4] = [40_001, 443, 80, 40_002];

/// A question as it is planned, without what makes its answer recognisable.
pub(super) type Step = (QuestionKind, SocketAddr, Option<u8>);

/// Returns the questions to ask next, after those that are unanswered so far have had their time;
/// none if no answer could change the cause.
pub(super) fn next(evidence: &Evidence) -> Vec<Step> {
    let mut steps = match evidence.situation() {
        Situation::Silent => next_to_silent(evidence),
        Situation::Refused(Some(hops)) | Situation::Open(Some(hops), _) => compare(evidence, hops),
        Situation::Refused(None) => locate(evidence),
        Situation::Open(None, _) | Situation::Icmp(_) => unheard(evidence),
        Situation::Other(_) | Situation::None => Vec::new(),
    };
    steps.retain(|(kind, ..)| can_ask(evidence, *kind));
    steps.truncate(MOST - MOST.min(evidence.asked.len()));
    steps
}

/// Returns the questions about a port that is silent.
fn next_to_silent(evidence: &Evidence) -> Vec<Step> {
    let count = |purpose| evidence.asked_for(purpose).count();
    let heard = evidence.is_host_heard();
    if evidence.asked.is_empty() {
        return vec![ack(evidence, None), other(evidence), echo(evidence)];
    }
    let reset = evidence.replies(Purpose::Ack).find(|(_, reply)| reply.kind == ReplyKind::Reset);
    match reset.map(|(_, reply)| reply.hops()) {
        // Is the segment for the host that answers, or passed on by it?
        Some(hops) if heard => {
            let hops = evidence.host_hops().or(hops);
            let limited = evidence.replies(Purpose::Limited).next().is_some();
            let left = SYNS.saturating_sub(count(Purpose::Limited)).min(2);
            let step = hops.filter(|_| !limited).map(|hops| limited_syn(evidence, hops + 1));
            step.map_or_else(Vec::new, |step| vec![step; left])
        }
        // What is the hop limit of the host's other answers?
        Some(_) => unheard(evidence),
        None if heard => {
            let left = DROPPED.saturating_sub(unanswered_acks(evidence)).min(TOGETHER);
            let hops = evidence.host_hops();
            let control = (!evidence.has_passed_ack()).then(|| control(evidence));
            let too_short = hops.and_then(|hops| too_short(evidence, hops));
            let acks = vec![ack(evidence, hops.map(|hops| hops + 1)); left];
            control.into_iter().chain(too_short).chain(acks).collect()
        }
        None => search(evidence),
    }
}

/// Returns the questions about a host of which nothing has been heard yet.
fn search(evidence: &Evidence) -> Vec<Step> {
    let left = |kind| unlimited(evidence, kind).count() < enough(evidence, kind);
    let traced = evidence.asked_for(Purpose::Limited).count();
    // In place of an ACK.
    let second = !can_ask(evidence, QuestionKind::Ack) && !evidence.asked.is_empty();
    let again = [
        left(QuestionKind::Ack).then(|| ack(evidence, None)),
        left(QuestionKind::Syn).then(|| other(evidence)),
        (second && left(QuestionKind::Syn)).then(|| other(evidence)),
        left(QuestionKind::Echo).then(|| echo(evidence)),
        TRACE.get(traced).map(|limit| limited_syn(evidence, *limit)),
    ];
    again.into_iter().flatten().collect()
}

/// Returns the questions of that kind which can reach the host: ACKs to the port, SYNs to others,
/// echo requests.
fn unlimited(evidence: &Evidence, kind: QuestionKind) -> impl Iterator<Item = &Asked> {
    let purpose = match kind {
        QuestionKind::Ack => Purpose::Ack,
        QuestionKind::Syn => Purpose::OtherPort,
        QuestionKind::Echo => Purpose::Echo,
    };
    let asked = evidence.asked_for(purpose);
    asked.filter(move |asked| asked.question.kind == kind && asked.question.hop_limit.is_none())
}

/// Returns how many questions of that kind it takes to call a host silent.
fn enough(evidence: &Evidence, kind: QuestionKind) -> usize {
    match kind {
        QuestionKind::Syn => {
            let others = [QuestionKind::Ack, QuestionKind::Echo];
            SILENT - others.into_iter().map(|kind| enough(evidence, kind)).sum::<usize>()
        }
        kind if !can_ask(evidence, kind) => 0,
        QuestionKind::Ack => SILENT_ACKS,
        QuestionKind::Echo => SILENT_ECHOES,
    }
}

/// Returns true if enough questions of each kind are unanswered.
pub(super) fn is_silent(evidence: &Evidence) -> bool {
    [QuestionKind::Ack, QuestionKind::Syn, QuestionKind::Echo].into_iter().all(|kind| {
        let unanswered = unlimited(evidence, kind).filter(|asked| asked.reply.is_none());
        unanswered.count() >= enough(evidence, kind)
    })
}

/// Returns a SYN to another port whose hop limit should be used up just before the host: then one
/// more does not take a segment past it. The way there may be shorter than the way back.
fn too_short(evidence: &Evidence, hops: u8) -> Option<Step> {
    const TRIES: usize = 2;
    let tries = evidence.asked_for(Purpose::OtherPort);
    let tries = tries.filter(|asked| asked.question.hop_limit.is_some()).count();
    let (kind, remote, _) = other(evidence);
    let is_open = tries < TRIES && !evidence.is_just_reached_past(hops);
    is_open.then_some((kind, remote, Some(hops)))
}

/// Returns the questions by which an answer that came from `hops` routers away is compared with
/// the host's others.
fn compare(evidence: &Evidence, hops: u8) -> Vec<Step> {
    let limited = evidence.replies(Purpose::Limited).next().is_some();
    let step = Some(limited_syn(evidence, hops + 1));
    let step = step.filter(|_| !limited && evidence.asked_for(Purpose::Limited).count() < REPEATED);
    step.into_iter().chain(unheard(evidence)).collect()
}

/// Returns the questions by which the place of a refusal is found whose hop limit is not known:
/// does the host on our link refuse a SYN that nobody may pass on? On a longer way, the last router
/// and the host refuse the same SYNs.
fn locate(evidence: &Evidence) -> Vec<Step> {
    let limited = evidence.replies(Purpose::Limited).next().is_some();
    let again = !limited && evidence.asked_for(Purpose::Limited).count() < REPEATED;
    let step = (again && evidence.host_hops() == Some(0)).then(|| limited_syn(evidence, 1));
    unheard(evidence).into_iter().chain(step).collect()
}

pub(super) fn can_ask(evidence: &Evidence, kind: QuestionKind) -> bool {
    evidence.cannot_ask.iter().all(|(cannot, _)| *cannot != kind)
}

/// Returns the questions to the host's other port and by echo request that are unanswered.
fn unheard(evidence: &Evidence) -> Vec<Step> {
    let open =
        |purpose| !evidence.has_heard(purpose) && evidence.asked_for(purpose).count() < REPEATED;
    let other = open(Purpose::OtherPort).then(|| other(evidence));
    let echo = open(Purpose::Echo).then(|| echo(evidence));
    other.into_iter().chain(echo).collect()
}

/// Returns how many ACKs that would have shown whether the port is passed on are unanswered.
pub(super) fn unanswered_acks(evidence: &Evidence) -> usize {
    let limit = evidence.host_hops().map(|hops| hops + 1);
    let acks = evidence.asked_for(Purpose::Ack);
    acks.filter(|ack| ack.reply.is_none() && ack.question.hop_limit == limit).count()
}

fn ack(evidence: &Evidence, hop_limit: Option<u8>) -> Step {
    (QuestionKind::Ack, evidence.remote, hop_limit)
}

fn limited_syn(evidence: &Evidence, hop_limit: u8) -> Step {
    (QuestionKind::Syn, evidence.remote, Some(hop_limit))
}

fn echo(evidence: &Evidence) -> Step {
    (QuestionKind::Echo, evidence.remote, None)
}

/// Returns an ACK to another port: does anything drop ACKs to whatever port?
fn control(evidence: &Evidence) -> Step {
    let (_, remote, _) = other(evidence);
    (QuestionKind::Ack, remote, None)
}

/// Returns a SYN to the next port that is asked for comparison.
fn other(evidence: &Evidence) -> Step {
    let asked = evidence.asked_for(Purpose::OtherPort).count();
    let mut ports = OTHER_PORTS.into_iter().filter(|port| *port != evidence.remote.port());
    let port = ports.nth(asked % (OTHER_PORTS.len() - 1)).expect("at least three are left");
    let mut remote = evidence.remote;
    remote.set_port(port);
    (QuestionKind::Syn, remote, None)
}

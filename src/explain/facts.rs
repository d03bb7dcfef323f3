//! The evidence in words, a fact each.

use std::fmt::Write;
use std::time::Duration;

use super::cause::Cause;
use super::evidence::{Asked, Evidence, Purpose, Reply, ReplyKind, Situation};
use crate::question::QuestionKind;
use crate::surroundings::NeighbourState;

/// Returns what was seen, the most telling facts first.
pub(super) fn facts(evidence: &Evidence, cause: &Cause) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(of_answer(evidence));
    facts.extend(of_passing_on(evidence));
    for purpose in [Purpose::Ack, Purpose::OtherPort, Purpose::Echo] {
        facts.extend(of_questions(evidence, purpose));
    }
    facts.extend(of_limited_syns(evidence));
    facts.extend(of_surroundings(evidence));
    if evidence.damaged > 0 {
        facts.push(format!("{} arrived with a wrong checksum", count(evidence.damaged, "answer")));
    }
    if !matches!(cause, Cause::ThisMachine(_)) {
        let why = evidence.cannot_ask.iter().map(|(kind, why)| match kind {
            QuestionKind::Ack => format!("ACKs could not be sent ({why})"),
            QuestionKind::Syn => format!("SYNs to other ports could not be sent ({why})"),
            QuestionKind::Echo => format!("pings could not be sent ({why})"),
        });
        facts.extend(why);
    }
    facts
}

/// Returns from how far away the answer to the check itself came.
fn of_answer(evidence: &Evidence) -> Option<String> {
    let (what, hops) = match evidence.situation() {
        Situation::Refused(hops) => ("the RST", hops),
        Situation::Open(hops, Some(0)) => {
            return Some(format!("the SYN+ACK has window 0{}", from_far(hops)));
        }
        Situation::Open(hops, _) => ("the SYN+ACK", hops),
        Situation::Icmp(error) => ("the ICMP error", error.hop_limit.and_then(super::hops)),
        _ => return None,
    };
    hops.map(|hops| format!("{what} comes from {} away", far(hops)))
}

/// Returns that the host of the address passes the port on, if it does.
fn of_passing_on(evidence: &Evidence) -> Option<String> {
    let by = evidence.host_hops().and_then(|hops| evidence.passed_on(hops))?;
    (evidence.situation() == Situation::Silent)
        .then(|| format!("{by} passes this port on to another host"))
}

/// Returns what questions for one purpose were answered, or that they were not.
fn of_questions(evidence: &Evidence, purpose: Purpose) -> Vec<String> {
    let port = evidence.remote.port();
    let asked: Vec<_> = evidence.asked_for(purpose).collect();
    let mut facts = Vec::new();
    let answered = asked.iter().filter_map(|asked| Some((*asked, asked.reply.as_ref()?)));
    for (asked, reply) in answered {
        let fact = of_reply(evidence, purpose, asked, reply);
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    if facts.is_empty() && !asked.is_empty() {
        let number = asked.len();
        facts.push(match purpose {
            Purpose::Ack => format!("{} to port {port}: no answer", count(number, "ACK")),
            Purpose::Echo => {
                format!("{} to {}: no answer", count(number, "ping"), evidence.remote.ip())
            }
            _ => {
                let mut ports: Vec<_> =
                    asked.iter().map(|asked| asked.question.remote.port().to_string()).collect();
                ports.dedup();
                format!("no answer from port {}", ports.join(", "))
            }
        });
    }
    facts
}

fn of_reply(evidence: &Evidence, purpose: Purpose, asked: &Asked, reply: &Reply) -> String {
    let who = match purpose {
        Purpose::Echo => evidence.remote.ip().to_string(),
        _ => format!("port {}", asked.question.remote.port()),
    };
    let what = match asked.question.kind {
        QuestionKind::Echo => "ping",
        QuestionKind::Ack => "an ACK with",
        QuestionKind::Syn => "SYN with",
    };
    let limit = asked.question.hop_limit.map(|limit| far(limit.saturating_sub(1)));
    let limit = limit.map(|limit| format!(" limited to {limit}")).unwrap_or_default();
    let answer = match reply.kind {
        ReplyKind::Reset => "RST".to_owned(),
        ReplyKind::SynAck => "SYN+ACK".to_owned(),
        ReplyKind::Echo => String::new(),
        ReplyKind::Icmp(error) => {
            return format!("{}{limit} to {who} draws {error}", what.trim_end_matches(" with"));
        }
    };
    let space = if answer.is_empty() { "" } else { " " };
    let time = milliseconds(reply.after);
    format!("{who} answers {what}{space}{answer} in {time}{}", from_far(reply.hops()))
}

/// Returns how far SYNs with a low hop limit came.
fn of_limited_syns(evidence: &Evidence) -> Vec<String> {
    let mut facts = Vec::new();
    let traced = evidence.situation() == Situation::Silent && evidence.host_hops().is_none();
    if traced
        && let Some((place, router)) = evidence.last_router()
        && router != evidence.remote.ip()
    {
        facts.push(format!("the last router that answers is {router}, {} away", far(place - 1)));
    }
    for (asked, reply) in evidence.replies(Purpose::Limited) {
        let limit = asked.question.hop_limit.unwrap_or_default();
        let answer = match reply.kind {
            ReplyKind::Reset => "RST".to_owned(),
            ReplyKind::SynAck => "SYN+ACK".to_owned(),
            ReplyKind::Icmp(error) if !traced => error.to_string(),
            ReplyKind::Icmp(_) | ReplyKind::Echo => continue,
        };
        facts.push(format!("a SYN limited to {} draws {answer}", far(limit.saturating_sub(1))));
    }
    facts
}

fn of_surroundings(evidence: &Evidence) -> Vec<String> {
    let surroundings = &evidence.surroundings;
    let mut facts = Vec::new();
    let heard = evidence.asked.iter().any(|asked| asked.reply.is_some_and(|r| r.is_of_host()));
    let is_silent = evidence.situation() == Situation::Silent && !heard;
    if let Some(state) = surroundings.neighbour.filter(|_| is_silent) {
        let who = if surroundings.on_link { "the host" } else { "the next hop" };
        let protocol = if evidence.remote.is_ipv4() { "ARP" } else { "neighbour discovery" };
        facts.push(match state {
            NeighbourState::Confirmed => format!("{who} has answered {protocol} lately"),
            NeighbourState::Static => format!("the neighbour table has a fixed entry for {who}"),
            NeighbourState::Stale => format!("{who} has answered {protocol} some time ago"),
            NeighbourState::Unanswered => format!("{who} does not answer {protocol}"),
        });
    }
    if let Some((waiting, backlog)) = surroundings.full_accept_queue {
        let waiting = count(waiting as usize, "connection");
        facts.push(format!("waiting to be accepted: {waiting}, backlog {backlog}"));
    }
    facts
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn far(routers: u8) -> String {
    count(usize::from(routers) + 1, "hop")
}

/// Returns from how far away something came, if it came past a router.
fn from_far(routers: Option<u8>) -> String {
    let mut text = String::new();
    if let Some(routers) = routers.filter(|routers| *routers > 0) {
        let _ = write!(text, " from {} away", far(routers));
    }
    text
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

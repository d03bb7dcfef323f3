//! `/api/v1/targets`: all that is known of pools and targets, as JSON.

use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use halfopen::verdict::PortState;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;

use super::body::Body;
use super::reply::{self, Response};
use super::shared::Shared;
use crate::filter::Filter;
use crate::live::{Live, PoolRow, Table, TargetRow};

/// How many targets are in a piece of the text.
const PIECE: usize = 200;

#[derive(Serialize)]
struct PoolObject<'a> {
    pool: &'a str,
    up: u32,
    targets: u32,
    fail_open: bool,
    /// It fails open when no more than this many are up, unless it never does.
    fail_open_at: Option<u32>,
}

#[derive(Serialize)]
struct TargetObject<'a> {
    pool: &'a str,
    target: &'a str,
    address: Option<IpAddr>,
    port: Option<u16>,
    state: &'static str,
    since: Option<Timestamp>,
    advertised: &'static str,
    held: bool,
    found: Option<&'static str>,
    reason: Option<&'a str>,
    /// Both as in `halfopen --explain -o json`, if the cause was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a [String]>,
    round_trip_seconds: Option<f64>,
    checks: u32,
    failures: u32,
    transitions: u32,
    /// The longest round-trip time of each of the last sixty minutes, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Option<f64>>>,
}

pub(super) fn targets(request: &Parts, shared: &Shared) -> Response {
    let filter = match Filter::of_query(request.uri.query().unwrap_or_default()) {
        Ok(filter) => filter,
        Err(error) => return reply::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let body = Body::Chunks(Box::new(pieces(Arc::clone(&shared.live), filter)));
    reply::of_type("application/json", StatusCode::OK, body)
}

/// Returns the text in pieces, so that that of many targets takes little memory.
fn pieces(live: Arc<Live>, filter: Filter) -> impl Iterator<Item = Bytes> + Send {
    let head = head(&live.read());
    let (mut next, mut is_first) = (Some(0), true);
    let (mut skipped, mut left) = (filter.offset, filter.limit);
    let targets = iter::from_fn(move || {
        let first = next?;
        let table = live.read();
        let end = table.targets.len().min(first + PIECE);
        let rows = table.targets.get(first..end).into_iter().flatten().flatten();
        let mut piece = String::new();
        for row in rows.filter(|row| filter.takes(row)) {
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            if !std::mem::take(&mut is_first) {
                piece.push(',');
            }
            piece.push_str(&json(&object(row, &row.label(), filter.history)));
        }
        next = (end < table.targets.len() && left > 0).then_some(end);
        if next.is_none() {
            piece.push_str("]}\n");
        }
        Some(Bytes::from(piece))
    });
    iter::once(Bytes::from(head)).chain(targets)
}

/// Returns the text before the first target.
fn head(table: &Table) -> String {
    let pool = |(name, row): (&Arc<str>, &PoolRow)| {
        json(&PoolObject {
            pool: name,
            up: row.up,
            targets: row.targets,
            fail_open: row.fails_open,
            fail_open_at: row.fails_open_at,
        })
    };
    let pools: Vec<_> = table.pools.iter().map(pool).collect();
    let (isolated, pools) = (table.is_isolated, pools.join(","));
    format!("{{\"isolated\":{isolated},\"pools\":[{pools}],\"targets\":[")
}

fn object<'a>(row: &'a TargetRow, label: &'a str, with_history: bool) -> TargetObject<'a> {
    let history = row.history().filter(|_| with_history);
    TargetObject {
        pool: &row.pool,
        target: label,
        address: row.endpoint.map(|endpoint| endpoint.ip()),
        port: row.endpoint.map(|endpoint| endpoint.port()),
        state: row.state.name(),
        since: row.since(),
        advertised: row.advertised.name(),
        held: row.is_held,
        found: row.found.map(PortState::name),
        reason: row.reason(),
        cause: row.explanation().map(|explanation| explanation.cause.name()),
        evidence: row.explanation().map(|explanation| &*explanation.evidence),
        round_trip_seconds: row.round_trip().map(|time| time.as_secs_f64()),
        checks: row.checks(),
        failures: row.failures(),
        transitions: row.transitions,
        history: history
            .map(|history| history.minutes().map(|t| t.map(|t| t.as_secs_f64())).collect()),
    }
}

fn json(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("names and numbers")
}

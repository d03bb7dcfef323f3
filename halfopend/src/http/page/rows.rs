//! The targets of the page.

use std::fmt::Write;
use std::sync::Arc;

use halfopen::explain::Explanation;
use jiff::Timestamp;

use super::html::{Escaped, ago, grouped, milliseconds};
use super::sparkline::sparkline;
use crate::filter::Filter;
use crate::fleet::health::State;
use crate::live::{Live, Table, TargetRow};

/// The most targets on the page.
const ROWS: usize = 250;

/// How many of them are in a piece of the page.
const PIECE: usize = 16;

/// The targets that are on the page.
pub(super) struct Shown {
    /// How many the filter takes.
    count: usize,
    /// How many are on a page.
    size: usize,
    /// The ids of those on this one.
    pub(super) ids: Vec<usize>,
}

/// Chooses the targets, those with problems first.
pub(super) fn shown(table: &Table, filter: &Filter) -> Shown {
    let mut chosen: Vec<_> = table.targets().filter(|(_, row)| filter.takes(row)).collect();
    chosen.sort_by_key(|(_, row)| rank(row));
    let size = filter.limit.clamp(1, ROWS);
    let ids = chosen.iter().skip(filter.offset).take(size).map(|(id, _)| *id).collect();
    Shown { count: chosen.len(), size, ids }
}

/// Begins the table.
pub(super) fn begin(shown: &Shown, out: &mut String) {
    if shown.ids.is_empty() {
        out.push_str("<p class=\"none\">No target matches.</p>\n");
        return;
    }
    out.push_str(
        "<table>\n<thead><tr><th scope=\"col\">State</th><th scope=\"col\">Target</th>\
         <th scope=\"col\">Since</th><th scope=\"col\">Why</th>\
         <th scope=\"col\" class=\"number\">Round trip</th><th scope=\"col\">Last hour</th>\
         </tr></thead>\n<tbody>\n",
    );
}

/// Returns the rows of these targets, except the ones that are gone by then.
pub(super) fn pieces(
    live: Arc<Live>,
    ids: Vec<usize>,
    now: Timestamp,
) -> impl Iterator<Item = String> + Send {
    (0..ids.len()).step_by(PIECE).map(move |first| {
        let table = live.read();
        let mut out = String::new();
        for id in ids.iter().skip(first).take(PIECE) {
            if let Some(Some(row)) = table.targets.get(*id) {
                target(*id, row, now, &mut out);
            }
        }
        out
    })
}

/// Ends the table, and adds links to the other pages.
pub(super) fn end(filter: &Filter, shown: &Shown, out: &mut String) {
    if !shown.ids.is_empty() {
        out.push_str("</tbody>\n</table>\n");
    }
    pages(shown.count, shown.size, filter, out);
}

/// Returns the place in the order of the page.
fn rank(row: &TargetRow) -> u8 {
    match (row.state, row.is_held) {
        (State::Down, _) => 0,
        (State::Unknown, _) => 1,
        (State::Up, true) => 2,
        (State::Up, false) => 3,
    }
}

fn target(id: usize, row: &TargetRow, now: Timestamp, out: &mut String) {
    let _ = write!(out, "<tr id=\"t{id}\" class=\"{}\">", row.state.name());
    state(row, out);
    let _ = write!(
        out,
        "<th scope=\"row\">{} <a class=\"pool\" href=\"/?pool={}\">{}</a></th>",
        Escaped(&row.label()),
        Escaped(&row.pool).in_query(),
        Escaped(&row.pool)
    );
    out.push_str("<td class=\"since\">");
    if let Some(since) = row.since() {
        let ago = ago(since, now);
        let _ = write!(out, "<time datetime=\"{since:.0}\" title=\"{since:.0}\">{ago}</time>");
    }
    out.push_str("</td><td class=\"why\">");
    if row.is_problem() {
        why(row, out);
    }
    out.push_str("</td><td class=\"number\">");
    if let Some(time) = row.round_trip().filter(|_| row.state == State::Up) {
        out.push_str(&milliseconds(time));
    }
    out.push_str("</td><td class=\"hour\">");
    if let Some(history) = row.history() {
        sparkline(history, out);
    }
    out.push_str("</td></tr>\n");
}

fn state(row: &TargetRow, out: &mut String) {
    let _ = write!(out, "<td class=\"state\"><span>{}</span>", row.state.name());
    if row.is_held {
        out.push_str("<span class=\"mark\">held</span>");
    }
    if row.advertised != row.state {
        let advertised = row.advertised.name();
        let _ = write!(out, "<span class=\"mark\">advertised&nbsp;{advertised}</span>");
    }
    out.push_str("</td>");
}

fn why(row: &TargetRow, out: &mut String) {
    let reason = row.reason().unwrap_or(if row.checks() == 0 { "not checked yet" } else { "" });
    let _ = write!(out, "{}", Escaped(reason));
    let Some(Explanation { cause, evidence }) = row.explanation() else { return };
    let _ = write!(out, "<span class=\"cause\">{}</span>", Escaped(&cause.to_string()));
    if !evidence.is_empty() {
        out.push_str("<details><summary>Evidence</summary><ul>");
        for fact in evidence {
            let _ = write!(out, "<li>{}</li>", Escaped(fact));
        }
        out.push_str("</ul></details>");
    }
}

/// Writes which targets are shown, with links to the others.
fn pages(count: usize, size: usize, filter: &Filter, out: &mut String) {
    if count <= size && filter.offset == 0 {
        return;
    }
    let first = filter.offset.min(count);
    let last = first.saturating_add(size).min(count);
    out.push_str("<nav class=\"pages\" aria-label=\"Pages of targets\">");
    if first > 0 {
        link(filter, first.saturating_sub(size), size, "‹ Previous", out);
    }
    let _ = write!(
        out,
        "<span>{} to {} of {}</span>",
        grouped((first + 1).min(count)),
        grouped(last),
        grouped(count)
    );
    if last < count {
        link(filter, last, size, "Next ›", out);
    }
    out.push_str("</nav>\n");
}

fn link(filter: &Filter, offset: usize, size: usize, words: &str, out: &mut String) {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(pool) = &filter.pool {
        query.append_pair("pool", pool);
    }
    if !filter.words.is_empty() {
        query.append_pair("q", &filter.words);
    }
    if filter.problems {
        query.append_pair("problems", "true");
    }
    if size != ROWS {
        query.append_pair("limit", &size.to_string());
    }
    if offset > 0 {
        query.append_pair("offset", &offset.to_string());
    }
    let _ = write!(out, "<a href=\"/?{}\">{words}</a>", Escaped(&query.finish()));
}

//! `/`: the status page. It needs nothing but itself and two files beside it, and no script to be
//! read: with the script, it stays up to date.

mod html;
mod sparkline;

use std::fmt::Write;

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::http::request::Parts;
use jiff::Timestamp;

use self::html::{Escaped, ago};
use self::sparkline::sparkline;
use super::reply::{self, Response};
use super::shared::Shared;
use crate::filter::Filter;
use crate::fleet::health::State;
use crate::live::{PoolRow, Table, TargetRow};

/// The most targets on the page: a kilobyte each.
const ROWS: usize = 500;

/// The most pools on the page.
const POOLS: usize = 200;

/// What the page may load and do.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

pub(super) fn style(_request: &Parts, _shared: &Shared) -> Response {
    reply::of_type(
        "text/css; charset=utf-8",
        StatusCode::OK,
        include_str!("page/page.css").to_owned(),
    )
}

pub(super) fn script(_request: &Parts, _shared: &Shared) -> Response {
    let script = include_str!("page/page.js").to_owned();
    reply::of_type("text/javascript; charset=utf-8", StatusCode::OK, script)
}

pub(super) fn page(request: &Parts, shared: &Shared) -> Response {
    let filter = match Filter::of_query(request.uri.query().unwrap_or_default()) {
        Ok(filter) => filter,
        Err(error) => return reply::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let page = render(&shared.live.read(), &filter, Timestamp::now());
    let mut response = reply::of_type("text/html; charset=utf-8", StatusCode::OK, page);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// Returns the page.
fn render(table: &Table, filter: &Filter, now: Timestamp) -> String {
    let mut out = String::with_capacity(1 << 16);
    let problems = table.targets().filter(|(_, row)| is_problem(row)).count();
    let all = table.targets().count();
    let title = match (table.is_isolated, problems) {
        (true, _) => "isolated".to_owned(),
        (false, 0) => format!("all {all} up"),
        (false, _) => format!("{problems} of {all} not up"),
    };
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · halfopend</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/page.css\">\n<script src=\"/page.js\" defer></script>\n\
         </head>\n<body>\n<header>\n<h1>halfopend</h1>\n\
         <p id=\"summary\" role=\"status\">{title}</p>\n</header>\n<main>\n"
    );
    form(filter, &mut out);
    out.push_str("<div id=\"live\">\n");
    if table.is_isolated {
        out.push_str(
            "<p class=\"banner\" role=\"alert\"><strong>Isolated.</strong> Nothing at all answers: \
             this machine is cut off. All states stand until something answers.</p>\n",
        );
    }
    pools(table, &mut out);
    targets(table, filter, now, &mut out);
    let _ = write!(
        out,
        "<p class=\"note\">As of <time datetime=\"{now:.0}\">{now:.0}</time>. \
         <a href=\"/api/v1/targets\">JSON</a>, <a href=\"/metrics\">metrics</a>, \
         <a href=\"/config\">configuration</a>.</p>\n</div>\n</main>\n</body>\n</html>\n"
    );
    out
}

fn form(filter: &Filter, out: &mut String) {
    let checked = if filter.problems { " checked" } else { "" };
    let words = Escaped(&filter.words);
    let pool = filter.pool.as_deref().map_or_else(String::new, |pool| {
        format!("<input type=\"hidden\" name=\"pool\" value=\"{}\">\n", Escaped(pool))
    });
    let _ = write!(
        out,
        "<form role=\"search\" action=\"/\">\n{pool}\
         <label>Search <input type=\"search\" name=\"q\" value=\"{words}\"></label>\n\
         <label><input type=\"checkbox\" name=\"problems\" value=\"true\"{checked}> \
         Only problems</label>\n<button>Show</button> <a href=\"/\">Show all</a>\n</form>\n"
    );
}

fn pools(table: &Table, out: &mut String) {
    out.push_str(
        "<section aria-labelledby=\"pools\">\n<h2 id=\"pools\">Pools</h2>\n<ul class=\"pools\">\n",
    );
    let is_whole = |row: &PoolRow| row.up == row.targets && !row.fails_open;
    let (whole, others): (Vec<_>, Vec<_>) = table.pools.iter().partition(|(_, row)| is_whole(row));
    for (name, row) in others.iter().chain(&whole).take(POOLS) {
        let class = match row.up {
            _ if is_whole(row) => "up",
            0 => "down",
            _ => "some",
        };
        let note = if row.fails_open { " <strong>fails open</strong>" } else { "" };
        let name = Escaped(name);
        let _ = writeln!(
            out,
            "<li class=\"{class}\"><a href=\"/?pool={}\">{name}</a> \
             <meter min=\"0\" max=\"{max}\" value=\"{up}\" aria-label=\"up in {name}\"></meter> \
             {up} of {} up{note}</li>",
            name.in_query(),
            row.targets,
            up = row.up,
            max = row.targets.max(1),
        );
    }
    out.push_str("</ul>\n");
    more(table.pools.len(), POOLS, "pools", out);
    out.push_str("</section>\n");
}

fn targets(table: &Table, filter: &Filter, now: Timestamp, out: &mut String) {
    out.push_str(
        "<section aria-labelledby=\"targets\">\n<h2 id=\"targets\">Targets</h2>\n<table>\n<thead>\
         <tr><th scope=\"col\">State</th><th scope=\"col\">Target</th><th scope=\"col\">Pool</th>\
         <th scope=\"col\">Since</th><th scope=\"col\">Reason</th>\
         <th scope=\"col\">Round trip, last hour</th></tr></thead>\n<tbody>\n",
    );
    let chosen = || table.targets().map(|(_, row)| row).filter(|row| filter.takes(row));
    let shown = filter.limit.min(ROWS);
    let in_order =
        chosen().filter(|row| is_problem(row)).chain(chosen().filter(|row| !is_problem(row)));
    for row in in_order.take(shown) {
        target(row, now, out);
    }
    out.push_str("</tbody>\n</table>\n");
    more(chosen().count(), shown, "targets", out);
    out.push_str("</section>\n");
}

fn target(row: &TargetRow, now: Timestamp, out: &mut String) {
    let (class, state) = match row.state {
        State::Up => ("up", "up"),
        State::Down => ("down", "down"),
        State::Unknown => ("unknown", "unknown"),
    };
    let held = if row.is_held { " <span class=\"mark\">held</span>" } else { "" };
    let advertised = if row.advertised == row.state {
        String::new()
    } else {
        format!(" <span class=\"mark\">advertised {}</span>", row.advertised.name())
    };
    let label = row.label();
    let _ = write!(
        out,
        "<tr><td><span class=\"state {class}\">{state}</span>{held}{advertised}</td>\
         <th scope=\"row\">{}</th><td>{}</td>",
        Escaped(&label),
        Escaped(&row.pool)
    );
    match row.since() {
        Some(since) => {
            let _ = write!(
                out,
                "<td><time datetime=\"{since:.0}\" title=\"{since:.0}\">{}</time></td>",
                ago(since, now)
            );
        }
        None => out.push_str("<td>–</td>"),
    }
    let reason = row.reason().filter(|_| is_problem(row)).unwrap_or_default();
    let _ = write!(out, "<td>{}</td><td class=\"times\">", Escaped(reason));
    if let Some(time) = row.round_trip() {
        let _ = write!(out, "{:.2} ms ", time.as_secs_f64() * 1e3);
    }
    if let Some(history) = &row.history {
        sparkline(history, out);
    }
    out.push_str("</td></tr>\n");
}

/// Says that not all are shown.
fn more(count: usize, shown: usize, what: &str, out: &mut String) {
    if count > shown {
        let _ = writeln!(
            out,
            "<p class=\"note\">{shown} of {count} {what} are shown, those with problems first. \
             A search finds others.</p>"
        );
    }
}

fn is_problem(row: &TargetRow) -> bool {
    row.state != State::Up || row.is_held
}

#[cfg(test)]
mod tests;

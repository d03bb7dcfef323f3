//! `/`: the status page. It needs nothing but itself and two files beside it, and no script to be
//! read: with the script, it stays up to date.

mod html;
mod overview;
mod pools;
mod rows;
mod sparkline;

use std::fmt::Write;
use std::iter;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::http::request::Parts;
use jiff::Timestamp;

use self::html::Escaped;
use self::overview::Overview;
use self::rows::Shown;
use super::body::Body;
use super::reply::{self, Response};
use super::shared::Shared;
use crate::filter::Filter;
use crate::live::{Live, Table};

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
    let pieces = pieces(Arc::clone(&shared.live), &filter, Timestamp::now());
    let body = Body::Chunks(Box::new(pieces.map(Bytes::from)));
    let mut response = reply::of_type("text/html; charset=utf-8", StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// Returns the page in pieces, so that clients who read slowly hold little memory.
fn pieces(
    live: Arc<Live>,
    filter: &Filter,
    now: Timestamp,
) -> impl Iterator<Item = String> + Send + use<> {
    let table = live.read();
    let shown = rows::shown(&table, filter);
    let (before, after) = (before(&table, filter, &shown, now), after(filter, &shown));
    drop(table);
    let rows = rows::pieces(live, shown.ids, now);
    iter::once(before).chain(rows).chain(iter::once(after))
}

/// Returns what stands before the rows of targets.
fn before(table: &Table, filter: &Filter, shown: &Shown, now: Timestamp) -> String {
    let mut out = String::new();
    let overview = Overview::of(table);
    head(&overview, now, &mut out);
    out.push_str("<main>\n");
    overview::banners(table, &mut out);
    pools::section(table, &overview, filter, &mut out);
    out.push_str(
        "<section id=\"all\" aria-labelledby=\"targets\">\n<h2 id=\"targets\">Targets</h2>\n",
    );
    form(filter, &mut out);
    rows::begin(shown, &mut out);
    out
}

/// Returns what stands after them.
fn after(filter: &Filter, shown: &Shown) -> String {
    let mut out = String::new();
    rows::end(filter, shown, &mut out);
    out.push_str(
        "</section>\n</main>\n<footer>\n<nav aria-label=\"Other formats\">\
         <a href=\"/api/v1/targets\">JSON</a> <a href=\"/metrics\">Metrics</a> \
         <a href=\"/config\">Configuration</a></nav>\n</footer>\n</body>\n</html>\n",
    );
    out
}

fn head(overview: &Overview, now: Timestamp, out: &mut String) {
    let title = overview.title();
    let (class, colour) = overview.class();
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · halfopend</title>\n\
         <link id=\"icon\" rel=\"icon\" href=\"data:image/svg+xml,%3Csvg \
         xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='3' \
         fill='%23{colour}'/%3E%3C/svg%3E\">\n\
         <link rel=\"stylesheet\" href=\"/page.css\">\n<script src=\"/page.js\" defer></script>\n\
         </head>\n<body>\n<header>\n<p class=\"bar\"><a href=\"/\">halfopend</a> \
         <span id=\"as-of\">as of <time datetime=\"{now:.0}\">{time} UTC</time></span></p>\n\
         <h1 id=\"summary\" class=\"{class}\" aria-live=\"polite\">{title}</h1>\n",
        time = now.strftime("%H:%M:%S"),
    );
    overview.counts(out);
    out.push_str("</header>\n");
}

fn form(filter: &Filter, out: &mut String) {
    let checked = if filter.problems { " checked" } else { "" };
    let words = Escaped(&filter.words);
    let pool = filter.pool.as_deref().map_or_else(String::new, |pool| {
        format!(
            "<input type=\"hidden\" name=\"pool\" value=\"{pool}\">\n\
             <a class=\"chosen\" href=\"/\" aria-label=\"Show all pools\">{pool} ×</a>\n",
            pool = Escaped(pool)
        )
    });
    let _ = write!(
        out,
        "<form role=\"search\" action=\"/\" data-keep>\n\
         <input type=\"search\" name=\"q\" value=\"{words}\" placeholder=\"Search targets and pools\" \
         aria-label=\"Search targets and pools\" autocomplete=\"off\" spellcheck=\"false\">\n\
         <label><input type=\"checkbox\" name=\"problems\" value=\"true\"{checked}> \
         Only problems</label>\n{pool}<button>Show</button>\n</form>\n"
    );
}

#[cfg(test)]
mod tests;

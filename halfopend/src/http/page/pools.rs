//! The pools of the page.

use std::fmt::Write;

use super::html::{Escaped, grouped};
use super::overview::{Counts, Overview};
use crate::filter::Filter;
use crate::live::{PoolRow, Table};

/// The most pools on the page.
const POOLS: usize = 200;

/// Writes the pools that are wanted, those with problems first.
pub(super) fn section(table: &Table, overview: &Overview, filter: &Filter, out: &mut String) {
    let mut pools: Vec<_> = table
        .pools
        .iter()
        .map(|(name, row)| (&**name, row, overview.of_pool(name)))
        .filter(|(name, _, counts)| is_wanted(name, counts, filter))
        .collect();
    pools.sort_by_key(|(_, row, counts)| (!row.fails_open, counts.down == 0, counts.problems == 0));
    out.push_str(
        "<section id=\"each\" aria-labelledby=\"pools\">\n<h2 id=\"pools\">Pools</h2>\n<ul class=\"pools\">\n",
    );
    for (name, row, counts) in pools.iter().take(POOLS) {
        pool(name, row, counts, out);
    }
    out.push_str("</ul>\n");
    if pools.len() > POOLS {
        let all = grouped(pools.len());
        let _ = writeln!(
            out,
            "<p class=\"note\">{POOLS} of {all} pools, those with problems first. A search finds \
             the others.</p>"
        );
    }
    out.push_str("</section>\n");
}

fn is_wanted(name: &str, counts: &Counts, filter: &Filter) -> bool {
    filter.pool.as_ref().is_none_or(|pool| pool == name)
        && (!filter.problems || counts.problems > 0)
        && (filter.words.is_empty() || name.to_lowercase().contains(&filter.words))
}

fn pool(name: &str, row: &PoolRow, counts: &Counts, out: &mut String) {
    let all = counts.all();
    let class = match counts {
        Counts { down: 1.., .. } => "down",
        Counts { problems: 1.., .. } => "unknown",
        _ => "up",
    };
    let _ = writeln!(
        out,
        "<li class=\"{class}\"><a href=\"/?pool={}\">{}</a> \
         <span class=\"quorum\"><b>{}</b> of {} up</span>",
        Escaped(name).in_query(),
        Escaped(name),
        grouped(counts.up),
        grouped(all),
    );
    bar(counts, row.fails_open_at, out);
    out.push_str("<span class=\"notes\">");
    if row.fails_open {
        out.push_str(
            "<span class=\"mark\">fails open</span> silent targets stay advertised as up ",
        );
    } else if let Some(limit) = row.fails_open_at {
        let _ = write!(out, "fails open at {} up ", grouped(limit));
    }
    if counts.held > 0 {
        let _ = write!(out, "<span class=\"mark\">{} held</span>", grouped(counts.held));
    }
    out.push_str("</span></li>\n");
}

/// Draws the shares of the states, and the limit at which the pool fails open. The text says the
/// same.
fn bar(counts: &Counts, limit: Option<u32>, out: &mut String) {
    let per_target = 200.0 / f64::from(counts.all().max(1));
    let _ = write!(
        out,
        "<svg class=\"bar\" viewBox=\"0 0 200 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
    );
    let mut from = 0.0;
    for (class, count) in [("up", counts.up), ("unknown", counts.unknown), ("down", counts.down)] {
        let width = f64::from(count) * per_target;
        if count > 0 {
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"2\" width=\"{width:.1}\" height=\"4\"/>"
            );
        }
        from += width;
    }
    if let Some(limit) = limit {
        let at = (f64::from(limit) * per_target).clamp(1.0, 199.0);
        let _ = write!(out, "<path class=\"limit\" d=\"M{at:.1} 0v8\"/>");
    }
    out.push_str("</svg>\n");
}

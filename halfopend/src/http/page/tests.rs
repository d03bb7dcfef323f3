//! The page as text. How it looks and behaves is tested in a browser.

use jiff::Timestamp;

use super::*;
use crate::event::{PoolView, TargetView};
use crate::fleet::health::State;
use crate::live::Live;

fn page(targets: u32, label: &str, state: State, query: &str) -> String {
    let rows = (0..targets).map(|id| {
        let pool = PoolView {
            name: "<web>".into(),
            up: 0,
            targets,
            fails_open: true,
            fails_open_at: Some(1),
        };
        let label = format!("{label}{id}");
        let target = TargetView {
            id,
            label: label.into(),
            endpoint: None,
            from: State::Unknown,
            to: state,
            finding: None,
            reason: Some("no <answer> & \"nothing\"".to_owned()),
            count: 0,
            advertised: state,
            is_held: id == 1,
        };
        (pool, target)
    });
    let (_publisher, live) = Live::new(Timestamp::UNIX_EPOCH, rows);
    let filter = Filter::of_query(query).unwrap();
    pieces(Arc::new(live), &filter, Timestamp::UNIX_EPOCH).collect()
}

#[test]
fn foreign_text_is_escaped() {
    let page = page(3, "<script>alert('x')</script>", State::Down, "q=%22%3E%3Cscript%3E");
    assert!(!page.contains("<script>"), "{page}");
    assert!(!page.contains("value=\"\">"), "{page}");
}

#[test]
fn ten_thousand_targets_take_less_than_a_megabyte() {
    let page = page(10_000, &"x".repeat(250), State::Down, "");
    assert!(page.len() < 1_000_000, "{}", page.len());
    assert!(page.contains("1 to 250 of 10,000"), "{page}");
}

#[test]
fn what_is_wrong_is_said() {
    let page = page(2, "web", State::Down, "");
    for words in ["2 of 2 targets down", "fails open", "held", "down", "no &lt;answer&gt;"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("cut off"));
}

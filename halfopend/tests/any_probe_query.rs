//! What must hold of every question to `/probe`, however strange.

#[path = "corpus/probe_query.rs"]
mod probe_query;

use lab::try_seeds;
use probe_query::probe_query;
use proptest::prelude::*;

#[test]
fn every_seed_and_what_is_close_to_it_is_understood_or_refused() {
    try_seeds(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/seeds/probe_query"), probe_query);
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        probe_query(text.as_bytes());
    }
}

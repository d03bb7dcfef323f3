//! What must hold of every file of `--web-config`, however strange.

#[path = "corpus/web_config.rs"]
mod web_config;

use lab::try_seeds;
use proptest::prelude::*;
use web_config::web_config;

#[test]
fn every_seed_and_what_is_close_to_it_is_understood_or_refused() {
    try_seeds(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/seeds/web_config"), web_config);
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        web_config(text.as_bytes());
    }
}

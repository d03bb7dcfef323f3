//! What must hold of every file of `--web-config`, however strange.

#[path = "corpus/try_seeds.rs"]
mod try_seeds;
#[path = "corpus/web_config.rs"]
mod web_config;

use proptest::prelude::*;
use try_seeds::try_seeds;
use web_config::web_config;

#[test]
fn every_seed_and_what_is_close_to_it_is_understood_or_refused() {
    try_seeds("web_config", web_config);
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        web_config(text.as_bytes());
    }
}

#![no_main]

#[path = "../../halfopend/tests/corpus/web_config.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::web_config(bytes));

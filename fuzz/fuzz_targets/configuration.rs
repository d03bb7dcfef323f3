#![no_main]

#[path = "../../halfopend/tests/corpus/configuration.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::configuration(bytes));

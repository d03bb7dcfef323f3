#![no_main]

#[path = "../../halfopend/tests/corpus/probe_query.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::probe_query(bytes));

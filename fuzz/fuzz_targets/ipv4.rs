#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::ipv4(bytes));

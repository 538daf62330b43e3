//! Fuzz target `request_id`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::requests::request_id(input);
});

//! Fuzz target `json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::requests::json(input);
});

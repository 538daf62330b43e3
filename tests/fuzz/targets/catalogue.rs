//! Fuzz target `catalogue`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::catalogue::catalogue(input);
});

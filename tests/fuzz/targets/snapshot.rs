//! Fuzz target `snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::snapshot::snapshot(input);
});

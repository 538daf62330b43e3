//! Fuzz target `recommender`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::recommender::recommender(input);
});

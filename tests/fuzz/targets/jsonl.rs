//! Fuzz target `jsonl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::tables::jsonl(input);
});

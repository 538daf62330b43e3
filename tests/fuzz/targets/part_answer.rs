//! Fuzz target `part_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::part_answer::part_answer(input);
});

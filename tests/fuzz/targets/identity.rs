//! Fuzz target `identity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::identity::identity(input);
});

//! Fuzz target `s3`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::s3::s3(input);
});

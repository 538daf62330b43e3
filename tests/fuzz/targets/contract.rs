//! Fuzz target `contract`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::contract::contract(input);
});

//! Fuzz target `parquet`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::tables::ignore_panics_of_decoders(), |input: &[u8]| {
    fuzz::tables::parquet(input);
});

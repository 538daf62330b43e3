//! Fuzz targets: one function per parser of bytes from outside. Each asserts what must hold for
//! every input, and returns whether the parser accepted the input.
//!
//! `tests/fuzz/run` links each target with libFuzzer and searches for an input that breaks it. The
//! test `corpus` runs each target on its seeds in `corpus/`, without libFuzzer.

#![allow(clippy::missing_panics_doc, clippy::panic, clippy::unwrap_used)] // A target reports a broken property by a panic.
#![allow(clippy::format_collect, clippy::type_complexity)]

pub mod catalogue;
pub mod contract;
pub mod identity;
pub mod part_answer;
pub mod recommender;
pub mod requests;
pub mod s3;
mod signature;
pub mod snapshot;
pub mod tables;

/// Name and function of every target, in the order in which they run.
pub const TARGETS: [(&str, fn(&[u8]) -> bool); 14] = [
    ("form", requests::form),
    ("json", requests::json),
    ("request_id", requests::request_id),
    ("csv", tables::csv),
    ("tsv", tables::tsv),
    ("jsonl", tables::jsonl),
    ("parquet", tables::parquet),
    ("snapshot", snapshot::snapshot),
    ("catalogue", catalogue::catalogue),
    ("contract", contract::contract),
    ("recommender", recommender::recommender),
    ("s3", s3::s3),
    ("identity", identity::identity),
    ("part_answer", part_answer::part_answer),
];

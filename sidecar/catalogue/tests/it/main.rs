//! Tests of catalogue files and filters.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
#![allow(clippy::cast_possible_truncation)] // Sizes of tests are small.

mod corruption;
mod filters;
mod format;
mod table;

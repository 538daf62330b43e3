//! The format from outside: written, read back, read by the standard's own crate, cut and flipped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod corruption;
mod model;
mod round_trip;

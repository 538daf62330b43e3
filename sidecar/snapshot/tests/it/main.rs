//! Tests of the file format: round trips, compatibility with the `safetensors` crate, and corrupted
//! files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

mod corruption;
mod former;
mod item_ids;
mod model;
mod round_trip;

//! Integration tests of the trainer: input files, and the resulting objects in a store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::format_push_string, clippy::format_collect, reason = "readability matters more than speed in tests")]

mod auto;
mod bad_data;
mod buckets;
mod catalogues;
mod codes;
mod cold;
mod commit;
mod determinism;
mod exports; // files as databases, spreadsheets and shops export them
mod formats;
mod incumbent;
mod items;
mod msweb;
mod parquet;
mod python;
mod quality;
mod ratings;
mod readers; // generated files, as Python reads them
mod rows;
mod servers;
mod setup;
mod splits;
mod tuning;
mod two_hop;
mod warm;
mod weights;

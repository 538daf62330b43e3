//! What the mathematics promises, checked against independent computations.

#![allow(clippy::many_single_char_names, clippy::similar_names)] // Symbols are the papers'.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::float_cmp)] // A test may fail loudly.

mod als;
mod attributes;
mod bpr;
mod data;
mod errors;
mod explanation;
mod explicit_als;
mod held_out_users;
mod python;
mod ranking;
mod start;
mod svd;
mod top_k;
mod weighting;
mod with_users;

//! Tests of the algorithms against independent computations.

#![allow(clippy::many_single_char_names, clippy::similar_names)] // Symbols follow the papers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::float_cmp)] // Tests may panic.

mod als;
mod attributes;
mod bpr;
mod data;
mod errors;
mod explanation;
mod explicit_als;
mod fit;
mod held_out_users;
mod kernels;
mod python;
mod ranking;
mod svd;
mod top_k;
mod two_hop;
mod warm_start;
mod weighting;
mod with_users;

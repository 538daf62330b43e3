//! What the mathematics promises, checked against independent computations.

#![allow(clippy::many_single_char_names)] // Symbols are the papers'.

mod als;
mod data;
mod errors;
mod top_k;

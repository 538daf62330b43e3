//! Tests of the definitions of all algorithms, and of the files that name an algorithm.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests may panic.

mod definitions;
mod tidy;

//! Tests of the store process with real clients.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests may panic.

mod attack; // slow, broken and greedy clients
mod body; // request bodies that end early or are slow
mod connection; // raw connections with signed requests
mod durability; // SIGKILL, concurrent creations
mod process; // starts and stops the binary
mod ranges; // parts of objects
mod real_client; // boto3

//! Tests of the store process with real clients.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests may panic.

mod durability; // SIGKILL, concurrent creations
mod process; // starts and stops the binary
mod real_client; // boto3

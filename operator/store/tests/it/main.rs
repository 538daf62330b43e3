//! The store as a process, seen by real clients.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may fail loudly.

mod durability; // kill -9, two at once
mod process; // starts and stops the real binary
mod real_client; // boto3

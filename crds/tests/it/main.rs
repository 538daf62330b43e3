//! Tests of the public API: the generated file, and its behavior on a real API server. `make test`
//! runs the latter, which need the tools of `tests/cluster/cluster tools`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A panic fails the test.

mod api_server;
mod api_server_cases;
mod generated;

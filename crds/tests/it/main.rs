//! Tests of the public API: the generated file, and what a real API server makes of it. `make test` runs the latter;
//! they need the tools of `tests/cluster/cluster tools`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that panics fails, as it should.

mod api_server;
mod generated;
mod refusals;

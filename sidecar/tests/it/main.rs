//! The serving process as a client sees it, without sockets where none are needed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test may fail loudly.

mod bad_requests; // what is refused, and the table of it in the docs
mod capacity; // a snapshot that does not fit
mod corruption; // damage in the store and in the pod
mod crash; // an end in the middle of a load
mod follower; // swaps, and what must not swap
mod http; // doors, answers, refusals
mod lifecycle; // the process: swap under load, limits, metrics text, SIGTERM
mod model; // a small model to serve
mod privacy; // no user in logs and metrics
mod process; // the real binary
mod python; // the public safetensors package and numpy
mod ratings;
mod run_page;
mod sockets; // hostile and broken clients
mod suggest; // a resource for a file
mod swaps; // one revision an answer // a model of ratings: its scores, and what it asks for

//! The serving process as a client sees it, without sockets where none are needed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test may fail loudly.

mod follower; // swaps, and what must not swap
mod http; // doors, answers, refusals
mod lifecycle; // the process: swap under load, limits, metrics text, SIGTERM
mod model; // a small model to serve
mod python; // the public safetensors package and numpy

//! End-to-end tests on a real node: each tells what a user would notice, in a namespace of its own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

mod autoscaling; // the real autoscaler on the scale subresource
mod data;
mod examples; // crds/examples, as they are
mod failures; // what is wrong is said, and mending it recovers
mod kstatus; // what deployment tools make of it
mod life; // train, serve, change, delete
mod metrics; // what the real Prometheus sees
mod revisions; // gate, pin, promotion, history

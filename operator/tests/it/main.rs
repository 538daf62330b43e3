//! Tests of the operator against a mocked API server, without a cluster, and of its imports.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod batches;
mod blockers;
mod catalogues;
mod cluster;
mod deletion;
mod events;
mod fake_api;
mod foreign_objects;
mod imports;
mod isolation;
mod leader;
mod leadership;
mod missed_pods;
mod ownership;
mod pods;
mod pruning;
mod reconcile;
mod refusals;
mod report;
mod rest;
mod retention;
mod secrets;
mod serving_pods;
mod signer;
mod slots;
mod watch;

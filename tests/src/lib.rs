//! Harness of the end-to-end tests: one real cluster, one installed chart, a namespace for each test.
//!
//! It talks to the API server and, over HTTP, to what runs in the pods; nothing here knows the inside of a binary. It
//! refuses to touch a cluster that it was not given by name: `RECMESH_E2E_KUBECONFIG` must be set (`make test` does).

#![allow(clippy::indexing_slicing)] // A JSON member that is missing reads as null.

pub mod cluster;
pub mod commands;
pub mod install;
pub mod load;
pub mod namespace;
pub mod operator_process;
pub mod proxy;
pub mod wait;

pub use cluster::Cluster;
pub use namespace::Namespace;

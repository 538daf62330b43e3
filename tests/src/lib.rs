//! Harness of the end-to-end tests: one real cluster, one installed chart, one namespace per test.
//!
//! The harness uses the API server and the HTTP endpoints of the pods; it does not depend on the
//! internals of any binary. It uses only the cluster named by `RECMESH_E2E_KUBECONFIG`, which must
//! be set (`make test` does so).

#![allow(clippy::indexing_slicing)] // A missing JSON member reads as null.

pub mod cluster;
pub mod commands;
pub mod install;
pub mod load;
pub mod namespace;
pub mod operator_process;
pub mod prober;
pub mod proxy;
pub mod wait;

pub use cluster::Cluster;
pub use namespace::Namespace;
pub use prober::Prober;

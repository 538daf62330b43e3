//! The sidecar: the data plane of Recmesh, a program by itself.
//!
//! `recmesh-sidecar serve` answers from a snapshot; `train`, `evaluate` and `recommend` work on plain files. It runs
//! without Kubernetes and knows nothing of it but what [`sidecar_contract`] says.
//!
//! ```text
//!   serving config ─► follower: fetch ► verify ► warm ► swap ─► engine (Arc of the model) ◄─ api: parse ► answer ► encode
//!                                     │                                                     admin: probes, metrics, report
//!                                     └─ the last good model goes on answering when any of it fails
//! ```

pub mod admin;
pub mod answer;
pub mod api;
pub mod app;
pub mod args;
pub mod clock;
pub mod commands;
pub mod engine;
pub mod explain;
pub mod follower;
pub mod headroom;
pub mod limits;
pub mod loading;
pub mod metrics;
pub mod model;
pub mod open_files;
pub mod server;
pub mod suggest;
pub mod telemetry;

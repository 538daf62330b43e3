//! The sidecar: the data plane of Recmesh, a standalone program.
//!
//! `recmesh-sidecar serve` serves recommendations from a snapshot; `compose` makes answers of those
//! of other Recommenders; `proxy` runs alongside an app and forwards its requests to serving pods; `train`, `evaluate`, `tune`, `suggest` and
//! `recommend` work on local files. The sidecar runs without Kubernetes; what it shares with the
//! operator is in [`sidecar_contract`].
//!
//! ```text
//!   serving config ─► follower: watch ► plan ► load ► swap ─► engine: Serving ◄─ api: request ► Ask ► Answer ► response
//!                               │                                                admin: probes, metrics, report
//!                               └─ if a step fails, the current revision keeps serving
//! ```

pub mod admin;
pub mod all_lists;
pub mod api;
pub mod app;
pub mod args;
pub mod batch;
pub mod clock;
pub mod commands;
pub mod composition;
mod config_file;
pub mod cpus;
pub mod engine;
pub mod follower;
pub mod headroom;
pub mod item_search;
pub mod limits;
pub mod list_file;
pub mod loading;
pub mod mesh_access;
pub mod metrics;
mod micros;
pub mod model_observer;
pub mod open_files;
pub mod proxy;
pub mod seen_anchors;
pub mod server;
pub mod serving;
pub mod spans;
pub mod suggest;
pub mod telemetry;
pub mod termination;

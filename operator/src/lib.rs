//! The operator: reconciles a `Recommender` into a training Job and serving pods. It handles names,
//! digests and decisions, never ratings or factors.
//!
//! ```text
//! observe (IO) ► validate ► decide ► desired (pure) ► apply (IO) ► status (pure) ► publish (IO)
//! ```
//! Only [`reconcile`] defines their order; [`controller`] triggers it. A step is a file, or a
//! folder with its parts; the values between steps are [`observed`], [`validate::Plan`],
//! [`decide::Decision`], [`desired::Desired`] and [`applied`]. A test (`tests/it/imports.rs`) lists
//! the pure files, and fails if one of them imports a file with I/O.

pub mod admin;
pub mod api_client;
pub mod applied;
pub mod apply;
pub mod args;
pub mod bulkhead;
pub mod cache;
pub mod child_kind;
pub mod context;
pub mod controller;
pub mod decide;
pub mod deletion;
pub mod desired;
pub mod error;
pub mod events;
pub mod fair_limiter;
pub mod finalizer;
pub mod identity;
pub mod inject;
pub mod installation;
pub mod leader;
pub mod leadership;
pub mod memory_quantity;
pub mod metrics;
pub mod missed_pods;
pub mod names;
pub mod notice;
pub mod observe;
pub mod observed;
pub mod pause;
pub mod pod_report;
pub mod publish;
pub mod received;
pub mod reconcile;
pub mod report;
pub mod requeue;
pub mod rest;
pub mod schedule;
pub mod signer;
pub mod slots;
pub mod status;
pub mod store_access;
pub mod store_gate;
pub mod store_root;
pub mod store_scope;
pub mod telemetry;
pub mod validate;
pub mod versions;
mod watch_pauses;

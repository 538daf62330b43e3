//! The operator: reconciles a `Recommender` into a training Job and serving pods. It never touches ratings or factors; it
//! moves names, digests and decisions.
//!
//! ```text
//! observe (IO) ► validate ► decide ► desired (pure) ► apply (IO) ► status (pure) ► publish (IO)
//! ```
//! [`reconcile`] is the one file that orders them; [`controller`] wakes it up.

pub mod admin;
pub mod apply;
pub mod args;
pub mod collect;
pub mod context;
pub mod controller;
pub mod decide;
pub mod deletion;
pub mod desired;
pub mod error;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod publish;
pub mod reconcile;
pub mod rollouts;
pub mod schedule;
pub mod status;
pub mod store_access;
pub mod store_root;
pub mod telemetry;
pub mod trainings;
pub mod validate;

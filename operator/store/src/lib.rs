//! The embedded store: S3's protocol and signatures (crate `s3s`) over one directory, durable and without state in memory.
//!
//! A request passes [`server`] (connections), [`gate`] (limits, metrics), then `s3s` (signature), [`access`] (who may),
//! and reaches [`protocol`], which works on [`disk`], [`listing`] and [`uploads`]. Deliberately absent: versions, copies,
//! stored metadata, other buckets, and any credential that reaches more than one Recommender.

pub mod access;
pub mod admin;
pub mod app;
pub mod args;
pub mod body;
pub mod conditions;
pub mod disk;
pub mod error;
pub mod gate;
pub mod key_path;
pub mod limits;
pub mod listing;
pub mod metrics;
pub mod protocol;
pub mod receive;
pub mod server;
pub mod stall;
pub mod uploads;

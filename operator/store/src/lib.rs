//! The embedded store: the S3 protocol and its signatures (crate `s3s`) over one directory. Writes
//! are durable; no state is kept in memory.
//!
//! A request passes [`server`] (connections), [`request_limiter`] (limits, metrics), `s3s`
//! (signature) and [`access`] (authorization). It then reaches [`protocol`], which uses [`disk`],
//! [`listing`] and [`uploads`]. Deliberately absent: versions, copies, stored metadata, other
//! buckets, and any credential that reaches more than one Recommender.

pub mod access;
pub mod admin;
pub mod app;
pub mod args;
pub mod body;
pub mod conditions;
pub mod disk;
pub mod error;
pub mod key_path;
pub mod limits;
pub mod listing;
pub mod metrics;
pub mod protocol;
pub mod receive;
pub mod request_limiter;
pub mod server;
pub mod stall;
pub mod uploads;

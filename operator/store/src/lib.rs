//! The embedded store: the S3 protocol and its signatures (crate `s3s`) over one directory. Writes
//! are durable; no state is kept in memory.
//!
//! A request passes [`server`] (connections), [`front`] (what holds for every response) with
//! [`signature_form`] (what is checked before the signature), `s3s` (signature) and [`access`]
//! (authorization, slots). It then reaches [`protocol`], which uses [`disk`], [`listing`] and
//! [`uploads`]. Deliberately absent: versions, copies, stored metadata, other buckets, and any
//! credential that reaches more than one Recommender.

pub mod access;
pub mod admin;
pub mod app;
pub mod args;
pub mod body;
pub mod byte_range;
pub mod conditions;
pub mod connection_limit;
pub mod disk;
pub mod error;
pub mod front;
pub mod key_path;
pub mod limits;
pub mod listing;
pub mod metrics;
pub mod pace;
pub mod paced_stream;
pub mod protocol;
pub mod receive;
pub mod request_record;
pub mod request_slots;
pub mod server;
pub mod signature_form;
pub mod uploads;

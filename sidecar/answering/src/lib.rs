//! From a question to an answer: [`Ask`] → [`Answerer`] → [`Answer`].
//!
//! An [`Ask`] is parsed and bounded by the endpoint that received it and owns its text. An
//! [`Answerer`] is one way to answer it: a loaded revision ([`Local`]) or another process
//! ([`Upstream`]). An [`Answer`] names items by id. Rows of a snapshot never leave [`Local`].
//!
//! Inside [`Local`] an answer passes these stages, one file each:
//!
//! ```text
//! resolve ► candidates (with the row filter) ► re-rank ► explain ► truncate
//! ```
//!
//! This crate knows snapshots, catalogues and the factorization. It knows no HTTP, no Kubernetes
//! and no clock.

mod answer;
mod answerer;
mod ask;
mod cursor;
mod error;
pub mod limits;
mod local;
mod request_id;
mod work;

pub use answer::{Answer, Contribution, Explanation, Item, LeftOut, POPULARITY, Part, Reason, Source};
pub use answerer::{Answerer, Upstream, UpstreamAnswer, UpstreamAnswers};
pub use ask::{Ask, Filter, HistoryEntry, Page, Query, RequestContext};
pub use error::{AnswerError, Rejection};
pub use local::{ListCache, Local, Lookups, Model, ModelError};
pub use request_id::RequestId;
pub use snapshot_scoring::ScoringError;

/// Variant of a Recommender that serves one revision to all users.
pub const DEFAULT_VARIANT: &str = "default";

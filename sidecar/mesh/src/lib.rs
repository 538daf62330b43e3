//! What is between an app's sidecar and the serving pods of a Recommender: which pod gets a
//! request, how long it may take, what happens when it fails, and who is at the other end.
//!
//! Pure deciders, each with its own tests, and thin shells around them:
//!
//! ```text
//!  discovery (DNS) ─► EndpointSet ◄─ health of each pod: latency + ejection ◄──────┐
//!                          │                                                       │
//!  Call ─► Upstream: choose (balance) ─► connection (HTTP/2) ─► outcome of the try ┤
//!             ▲                                                                    │
//!             └──────── retry? (deadline, budget, number of tries) ◄───────────────┘
//! ```
//!
//! [`identity`] is mutual TLS, for both sides.
//!
//! This crate knows no model and no Kubernetes. Its user observes every decision as an
//! [`Observer`].

mod answer_body;
mod balance;
mod connection;
mod deadline;
mod discovery;
mod ejection;
mod endpoint;
mod endpoint_set;
pub mod identity;
mod latency;
pub mod limits;
mod log_pace;
mod observer;
mod outcome;
mod retry;
mod transport;
mod upstream;

pub use deadline::{TIMEOUT_HEADER, parse_timeout};
pub use discovery::{Discovery, Target};
pub use ejection::EjectionReason;
pub use endpoint_set::{EndpointSet, Endpoints};
pub use log_pace::LogPace;
pub use observer::{Observer, TryWatch};
pub use outcome::{PARTS_FAILED_HEADER, TryOutcome};
pub use retry::RetryDecision;
pub use transport::Transport;
pub use upstream::{ANCHORS_HEADER, ATTEMPT_HEADER, Call, Unanswered, Upstream};

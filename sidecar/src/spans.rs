//! Spans of requests, for tracing: one for an answer, for each try of a sidecar of an app, and for
//! each part of an answer of a serving pod. They need the cargo feature `otlp`; without it the header
//! `traceparent` goes through unchanged.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub use absent::{AnswerSpan, begin_try};
#[cfg(feature = "otlp")]
pub use otlp::{AnswerSpan, Exporter, begin_try};

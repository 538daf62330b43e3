//! Metrics of a composition: answers of its parts, and composed answers. The names of the parts are
//! label values: a composition has few, and a changed one begins with new series.

use std::{collections::BTreeSet, sync::Mutex, sync::PoisonError, time::Duration};

use mesh::{EjectionReason, Endpoints, TryOutcome};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Buckets in seconds: a part answers in milliseconds, and at most in the time of the request.
const DURATION_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// How a question to a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOutcome {
    /// With an answer.
    Answered,
    /// The part rejected the question.
    Rejected,
    /// The time ended.
    TimedOut,
    /// No serving pod answered.
    Unavailable,
    /// The revision changed between the requests of a batch, each time.
    RevisionChanged,
    /// With a document that is not one of a serving pod.
    Malformed,
    /// The client of the composition went away.
    Cancelled,
}

impl PartOutcome {
    /// All outcomes.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Rejected,
        Self::TimedOut,
        Self::Unavailable,
        Self::RevisionChanged,
        Self::Malformed,
        Self::Cancelled,
    ];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed-out",
            Self::Unavailable => "unavailable",
            Self::RevisionChanged => "revision-changed",
            Self::Malformed => "malformed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The metrics.
#[derive(Debug)]
pub struct CompositionMetrics {
    answers: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
    tries: IntCounterVec,
    ejections: IntCounterVec,
    endpoints: IntGaugeVec,
    parts: Mutex<BTreeSet<String>>,
}

impl CompositionMetrics {
    /// Creates and registers the metrics. There are no series without a composition.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "recommender_part_request_duration_seconds",
                "Time from a question to a part of the composition to its answer, in seconds.",
            )
            .buckets(DURATION_BUCKETS.to_vec()),
            &["part"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let endpoints = IntGaugeVec::new(
            Opts::new("recommender_part_endpoints", "Serving pods of the parts of the composition, by state."),
            &["part", "state"],
        )?;
        registry.register(Box::new(endpoints.clone()))?;
        Ok(Self {
            answers: counter(
                "recommender_composed_answers_total",
                "Composed answers: whole, or degraded because parts are missing or degraded.",
                &["result"],
            )?,
            requests: counter(
                "recommender_part_requests_total",
                "Questions to the parts of the composition, by outcome.",
                &["part", "outcome"],
            )?,
            tries: counter(
                "recommender_part_tries_total",
                "Requests to serving pods of the parts of the composition, by outcome.",
                &["part", "outcome"],
            )?,
            ejections: counter(
                "recommender_part_ejections_total",
                "Ejections of serving pods of the parts of the composition, by reason.",
                &["part", "reason"],
            )?,
            durations,
            endpoints,
            parts: Mutex::default(),
        })
    }

    /// The parts from now on. Series with few labels begin at 0, so that their first increase is
    /// seen; those of other parts are removed.
    pub fn set_parts(&self, names: &BTreeSet<String>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if *parts == *names {
            return;
        }
        parts.clone_from(names);
        for counter in [&self.requests, &self.tries, &self.ejections] {
            counter.reset();
        }
        self.durations.reset();
        self.endpoints.reset();
        for part in names {
            for outcome in PartOutcome::ALL {
                self.requests.with_label_values(&[part.as_str(), outcome.as_str()]);
            }
        }
        for result in ["whole", "degraded"] {
            self.answers.with_label_values(&[result]);
        }
    }

    /// Counts a composed answer.
    pub fn count_answer(&self, degraded: bool) {
        self.answers.with_label_values(&[if degraded { "degraded" } else { "whole" }]).inc();
    }

    /// Records the end of a question to a part.
    pub fn observe_request(&self, part: &str, outcome: PartOutcome, took: Duration) {
        self.requests.with_label_values(&[part, outcome.as_str()]).inc();
        self.durations.with_label_values(&[part]).observe(took.as_secs_f64());
    }

    /// Counts a request to a serving pod.
    pub fn count_try(&self, part: &str, outcome: TryOutcome) {
        self.tries.with_label_values(&[part, outcome.as_str()]).inc();
    }

    /// Counts an ejection of a serving pod.
    pub fn count_ejection(&self, part: &str, reason: EjectionReason) {
        self.ejections.with_label_values(&[part, reason.as_str()]).inc();
    }

    /// Sets the number of serving pods of a part.
    pub fn set_endpoints(&self, part: &str, endpoints: Endpoints) {
        for (state, count) in [("available", endpoints.available), ("ejected", endpoints.ejected)] {
            self.endpoints.with_label_values(&[part, state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

//! Whether a model is good enough to serve.

use sidecar_contract::{RunOutcome, RunResult};

use crate::validate::Plan;

/// What the gate says of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The lower bound of the lift reaches the gate.
    Passed {
        /// Lower bound.
        low: f64,
    },
    /// It does not.
    Failed {
        /// Lower bound.
        low: f64,
        /// The gate.
        wanted: f64,
    },
    /// Nothing could be compared.
    Unknown,
}

/// Holds a result against the spec's gate.
pub fn gate(plan: &Plan, result: &RunResult) -> Verdict {
    let wanted = plan.spec.evaluation.gate.min_lift_over_baseline;
    let lift = match &result.outcome {
        RunOutcome::Trained { metrics, .. } => metrics.as_ref().and_then(|m| m.lift),
        RunOutcome::Unchanged | RunOutcome::Failed { .. } => None,
    };
    match lift {
        None => Verdict::Unknown,
        Some(lift) if lift.low >= wanted => Verdict::Passed { low: lift.low },
        Some(lift) => Verdict::Failed { low: lift.low, wanted },
    }
}

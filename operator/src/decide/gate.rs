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
    /// It is better than the baseline, and may be worse than the model that served when it was trained.
    Regressed {
        /// Lower bound of the lift over that model.
        low: f64,
        /// Largest loss that passes.
        allowed: f64,
    },
    /// Nothing could be compared.
    Unknown,
}

impl Verdict {
    /// Whether nothing speaks against the model.
    pub fn may_serve(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Unknown)
    }
}

/// Holds a result against the spec's gate.
pub fn gate(plan: &Plan, result: &RunResult) -> Verdict {
    let RunOutcome::Trained { metrics: Some(metrics), .. } = &result.outcome else { return Verdict::Unknown };
    let Some(lift) = metrics.lift else { return Verdict::Unknown };
    let gate = &plan.spec.evaluation.gate;
    if lift.low < gate.min_lift_over_baseline {
        return Verdict::Failed { low: lift.low, wanted: gate.min_lift_over_baseline };
    }
    // Without a model that served there is nothing to lose against.
    if let (Some(allowed), Some(against)) = (gate.max_regression, &metrics.incumbent)
        && against.lift.low < -allowed
    {
        return Verdict::Regressed { low: against.lift.low, allowed };
    }
    Verdict::Passed { low: lift.low }
}

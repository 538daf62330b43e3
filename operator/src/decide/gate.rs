//! The quality gate: whether a model is good enough to serve. Each model is evaluated once a pass.

use sidecar_contract::{Digest, RunOutcome, RunResult};

use crate::validate::Plan;

/// Verdict of the gate on a run result.
#[derive(Clone, Debug, PartialEq)]
pub enum GateVerdict {
    /// The lower bound of the lift over the baseline reaches the required value.
    Passed {
        /// Lower bound of the lift over the baseline.
        low: f64,
    },
    /// The lower bound of the lift over the baseline is below the required value.
    Failed {
        /// Lower bound of the lift over the baseline.
        low: f64,
        /// `evaluation.gate.minLiftOverBaseline`.
        required: f64,
    },
    /// The model is better than the baseline, but may be worse than the model that served when it
    /// was trained.
    Regressed {
        /// Lower bound of the lift over that model.
        low: f64,
        /// Maximum loss that passes: `evaluation.gate.maxRegression`.
        allowed: f64,
    },
    /// The result has no comparison with the baseline.
    Unknown,
}

impl GateVerdict {
    /// Whether the gate permits the model to serve: it passed, or there was no comparison.
    pub fn may_serve(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Unknown)
    }
}

/// A trained model, and the verdict of the gate on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<'a> {
    /// Result of the run that trained it.
    pub result: &'a RunResult,
    /// Digest of its snapshot.
    pub digest: &'a Digest,
    /// Whether it is a model of the current spec.
    pub is_of_spec: bool,
    /// Verdict of the gate.
    pub verdict: GateVerdict,
}

/// Evaluates the trained models, newest first; of runs with equal digests only the newest.
pub(super) fn models<'a>(plan: &Plan, results: &'a [RunResult]) -> Vec<Model<'a>> {
    let mut trained: Vec<(&RunResult, &Digest)> =
        results.iter().filter_map(|result| Some((result, result_digest(result)?))).collect();
    trained.sort_by_key(|(result, _)| std::cmp::Reverse(result.run.number));
    let mut models: Vec<Model<'a>> = Vec::with_capacity(trained.len());
    for (result, digest) in trained {
        if !models.iter().any(|newer| newer.digest == digest) {
            let is_of_spec = result.config_hash == plan.hashes.config;
            models.push(Model { result, digest, is_of_spec, verdict: gate(plan, result) });
        }
    }
    models
}

/// Digest of the snapshot that a run produced.
pub fn result_digest(result: &RunResult) -> Option<&Digest> {
    let RunOutcome::Trained { digest, .. } = &result.outcome else { return None };
    Some(digest)
}

/// Evaluates a result against the gate of the spec.
pub(super) fn gate(plan: &Plan, result: &RunResult) -> GateVerdict {
    let RunOutcome::Trained { metrics: Some(metrics), .. } = &result.outcome else { return GateVerdict::Unknown };
    let Some(lift) = metrics.lift else { return GateVerdict::Unknown };
    let gate = &plan.spec.evaluation.gate;
    if lift.low < gate.min_lift_over_baseline {
        return GateVerdict::Failed { low: lift.low, required: gate.min_lift_over_baseline };
    }
    // If no model served, there is no regression to measure.
    if let (Some(allowed), Some(incumbent)) = (gate.max_regression, &metrics.incumbent)
        && incumbent.lift.low < -allowed
    {
        return GateVerdict::Regressed { low: incumbent.lift.low, allowed };
    }
    GateVerdict::Passed { low: lift.low }
}

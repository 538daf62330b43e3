//! Which trained models may serve, by the quality gate and the data guards. Each model is evaluated
//! once a pass.

use sidecar_contract::{Digest, GateVerdict, Metrics, RunOutcome, RunResult};

use super::data_guard::{DataFault, data_fault};
use crate::validate::Plan;

/// A trained model, and whether it may serve.
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
    /// Why its rows do not allow it to serve, if they do not.
    pub data_fault: Option<DataFault>,
}

impl Model<'_> {
    /// Whether the model may serve: its rows are as expected, and the gate passed it or had nothing
    /// to compare.
    pub fn may_serve(&self) -> bool {
        self.data_fault.is_none() && self.verdict.may_serve()
    }

    /// Whether the model passed the gate.
    pub fn is_passed(&self) -> bool {
        self.data_fault.is_none() && matches!(self.verdict, GateVerdict::Passed { .. })
    }

    /// Whether the model may serve although the gate had nothing to compare.
    pub fn is_unmeasured(&self) -> bool {
        self.data_fault.is_none() && self.verdict == GateVerdict::Unknown
    }
}

/// What the status reports about a model and the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Digest of its snapshot.
    pub digest: Digest,
    /// Number of its run.
    pub run: u32,
    /// Its evaluation.
    pub metrics: Option<Metrics>,
    /// Verdict of the gate.
    pub verdict: GateVerdict,
    /// Why its rows do not allow it to serve, if they do not.
    pub data_fault: Option<DataFault>,
}

impl From<&Model<'_>> for Judged {
    fn from(model: &Model<'_>) -> Self {
        Self {
            digest: model.digest.clone(),
            run: model.result.run.number,
            metrics: metrics(model.result).cloned(),
            verdict: model.verdict,
            data_fault: model.data_fault.clone(),
        }
    }
}

/// Evaluates the trained models, newest first; of runs with equal digests only the newest.
/// `serving` is the digest of the model that personalizes now.
pub(super) fn models<'a>(plan: &Plan, results: &'a [RunResult], serving: Option<&Digest>) -> Vec<Model<'a>> {
    let mut trained: Vec<(&RunResult, &Digest)> =
        results.iter().filter_map(|result| Some((result, result_digest(result)?))).collect();
    trained.sort_by_key(|(result, _)| std::cmp::Reverse(result.run.number));
    let serving = trained.iter().find(|(_, digest)| Some(*digest) == serving).map(|(result, _)| *result);
    let mut models: Vec<Model<'a>> = Vec::with_capacity(trained.len());
    for (result, digest) in trained {
        if !models.iter().any(|newer| newer.digest == digest) {
            models.push(Model {
                result,
                digest,
                is_of_spec: result.config_hash == plan.hashes.config,
                verdict: plan.gate().verdict(metrics(result)),
                data_fault: data_fault(plan, result, serving),
            });
        }
    }
    models
}

/// Digest of the snapshot that a run produced.
pub fn result_digest(result: &RunResult) -> Option<&Digest> {
    let RunOutcome::Trained { digest, .. } = &result.outcome else { return None };
    Some(digest)
}

fn metrics(result: &RunResult) -> Option<&Metrics> {
    let RunOutcome::Trained { metrics, .. } = &result.outcome else { return None };
    metrics.as_ref()
}

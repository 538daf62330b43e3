//! The two decisions: whether to train now, and which revision should serve. Pure: facts in, a decision out.

use sidecar_contract::{
    Digest, RunId, RunOutcome, RunResult, TrainingConfig, canonical_json, keys::FINGERPRINT_DIGITS, store::StoreConfig,
};

use crate::{
    observe::{JobFacts, JobState},
    validate::Plan,
};

/// Version of the hashes below; raising it retrains everything, so it is raised only when what is trained changes.
const HASH_VERSION: u32 = 1;

/// The training config of a run.
pub fn training_config(
    plan: &Plan,
    run: RunId,
    store: StoreConfig,
    known_data_version: Option<String>,
) -> TrainingConfig {
    let training = &plan.training;
    TrainingConfig {
        run,
        source: training.source.clone(),
        format: training.format,
        csv: training.csv.clone(),
        columns: training.columns.clone(),
        signal: sidecar_contract::Signal::Implicit,
        items: training.items.clone(),
        algorithm: training.algorithm.clone(),
        evaluation: training.evaluation.clone(),
        seed: training.seed,
        store,
        known_data_version,
        retrain_at: plan.retrain_at.clone(),
    }
}

/// Hash of what the plan trains; a result with this hash is a model of this spec.
pub fn config_hash(plan: &Plan) -> Digest {
    let nowhere = StoreConfig { url: String::new(), endpoint: None, region: String::new(), prefix: String::new() };
    training_config(plan, RunId { number: 0, attempt: String::new() }, nowhere, None).config_hash()
}

/// Hash of what is tried: what is trained, and with which means. A failed attempt is tried again at once when it changes.
pub fn attempt(plan: &Plan) -> String {
    let means = serde_json::json!({
        "version": HASH_VERSION,
        "config": config_hash(plan),
        "deadlineSeconds": plan.training.deadline.as_secs(),
        "pod": plan.spec.training.pod,
        "secret": plan.spec.data.source.secret_ref,
        "retrainAt": plan.retrain_at,
    });
    let mut hash = Digest::of(canonical_json(&means).as_bytes()).as_str().to_owned();
    hash.truncate(FINGERPRINT_DIGITS);
    hash
}

/// What to do about training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Training {
    /// A model of this spec is there, or runs are suspended.
    Idle,
    /// This Job works on this attempt.
    Running {
        /// Its name.
        job: String,
    },
    /// This Job works on what is not wanted any more: delete it first.
    Replace {
        /// Its name.
        job: String,
    },
    /// Start this run.
    Start {
        /// Its name in the store.
        run: RunId,
        /// Lets the trainer end at once when a failed source has not changed.
        known_data_version: Option<String>,
    },
    /// The attempt failed; try again after this many seconds.
    Wait {
        /// From now.
        seconds: u64,
    },
}

/// Pauses between tries of a failing attempt, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Backoff {
    fn after(self, failures: usize) -> u64 {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

/// Whether to train. `results` are the finished runs, in any order; `now` is in seconds since 1970.
pub fn training(plan: &Plan, results: &[RunResult], jobs: &[JobFacts], backoff: Backoff, now: i64) -> Training {
    let attempt = attempt(plan);
    if let Some(job) = jobs.iter().find(|job| job.state == JobState::Running) {
        return if job.attempt == attempt {
            Training::Running { job: job.name.clone() }
        } else {
            Training::Replace { job: job.name.clone() }
        };
    }
    if is_trained(plan, results) || plan.spec.suspend || plan.spec.training.suspend {
        return Training::Idle;
    }
    // Failures of this very attempt, with their ends: results that say so, and Jobs that ended without a result.
    let failed: Vec<&RunResult> =
        results.iter().filter(|r| r.run.attempt == attempt && matches!(r.outcome, RunOutcome::Failed { .. })).collect();
    let silent = jobs.iter().filter(|job| {
        job.attempt == attempt && job.state == JobState::Failed && !results.iter().any(|r| r.run.number == job.run)
    });
    let ends: Vec<i64> = failed.iter().map(|r| r.finished_at).chain(silent.map(|job| job.finished_at)).collect();
    if let Some(last) = ends.iter().max() {
        let due = last.saturating_add(i64::try_from(backoff.after(ends.len())).unwrap_or(i64::MAX));
        if due > now {
            return Training::Wait { seconds: u64::try_from(due - now).unwrap_or(1) };
        }
    }
    let highest = results.iter().map(|r| r.run.number).chain(jobs.iter().map(|job| job.run)).max().unwrap_or(0);
    Training::Start { run: RunId { number: highest.saturating_add(1), attempt }, known_data_version: None }
}

/// Whether a model of this spec is there, and the request for another, if any, was honoured.
pub fn is_trained(plan: &Plan, results: &[RunResult]) -> bool {
    let hash = config_hash(plan);
    let mut trained =
        results.iter().filter(|r| r.config_hash == hash && matches!(r.outcome, RunOutcome::Trained { .. }));
    match &plan.retrain_at {
        None => trained.next().is_some(),
        Some(_) => trained.any(|r| r.retrain_at == plan.retrain_at),
    }
}

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

/// The revisions that should serve: the newest that the gate lets pass, and the one before it. One that could not be
/// compared serves only if nothing else does.
pub fn serving<'a>(plan: &Plan, results: &'a [RunResult]) -> Vec<&'a RunResult> {
    let mut trained: Vec<&RunResult> =
        results.iter().filter(|r| matches!(r.outcome, RunOutcome::Trained { .. })).collect();
    trained.sort_by_key(|r| std::cmp::Reverse(r.run.number));
    let passed = |r: &&&RunResult| matches!(gate(plan, r), Verdict::Passed { .. });
    let mut chosen: Vec<&RunResult> = trained.iter().filter(passed).copied().collect();
    if chosen.is_empty() {
        chosen = trained.iter().filter(|r| gate(plan, r) == Verdict::Unknown).copied().collect();
    }
    // A revision is its content: two runs with equal bytes are one revision.
    let mut digests: Vec<&Digest> = Vec::new();
    chosen.retain(|result| match &result.outcome {
        RunOutcome::Trained { digest, .. } if !digests.contains(&digest) => {
            digests.push(digest);
            true
        }
        _ => false,
    });
    chosen.truncate(2);
    chosen
}

#[cfg(test)]
mod tests;

//! The decisions: whether to train now, whether a model passes the gate, which revision should
//! serve, what may be deleted from the store. Pure: observed state in, decisions out.

mod batch;
mod catalogue;
mod data_guard;
mod due;
mod gate;
mod job_history;
mod progress;
mod retention;
mod serving;
mod task;
mod training;

use recommender_crds::RecommenderStatus;
use sidecar_contract::{Digest, Incumbent};

pub use self::{
    batch::{BATCHES_RETAINED, Batch, NewBatch},
    catalogue::{CATALOGUES_RETAINED, Catalogue, NewCatalogue, is_of_task, request_hash},
    data_guard::{DataFault, INTENDED_REASON},
    due::Trigger,
    gate::{Judged, result_digest},
    progress::{Failures, ModelRun, Progress},
    retention::Garbage,
    serving::{Choice, RefusedPromotion, Serving},
    task::{TaskDecision, TaskFailures},
    training::{Backoff, TrainingDecision, TrainingTiming},
};
use self::{
    due::{Due, due},
    gate::{Model, models},
    progress::RunHistory,
};
use crate::{observed::Observed, validate::Plan};

/// All decisions of a pass. Each is made once; the later steps only read them.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What past runs mean for the current spec.
    pub progress: Progress,
    /// Whether to train.
    pub training: TrainingDecision,
    /// Whether to write lists for all users.
    pub batch: Batch,
    /// Whether to make a catalogue.
    pub catalogue: Catalogue,
    /// Verdict of gate and data guards on the pinned model, or else on the newest one; `None`
    /// without a model.
    pub gate: Option<Judged>,
    /// The revisions that should serve.
    pub serving: Serving,
    /// The revisions that keep serving while the rollout of [`Self::serving`] is queued.
    pub serving_while_queued: Serving,
    /// Revision that serves as soon as it has a catalogue.
    pub awaits_catalogue: Option<Digest>,
    /// The current model, which a run compares its own model with if the gate limits the
    /// regression.
    pub incumbent: Option<Incumbent>,
    /// Names of failed Jobs that are deleted.
    pub stale_jobs: Vec<String>,
    /// What is deleted from the store.
    pub garbage: Garbage,
}

impl Decision {
    /// Second since 1970 when the next Job is due or is retried, if that is known.
    pub fn next_due(&self, now: i64) -> Option<i64> {
        let training = match self.training {
            TrainingDecision::Idle { next } => next,
            TrainingDecision::Wait { seconds } => {
                Some(now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)).saturating_add(1))
            }
            TrainingDecision::Running { .. } | TrainingDecision::Replace { .. } | TrainingDecision::Start { .. } => {
                None
            }
        };
        let batch = match self.batch.decision {
            TaskDecision::Idle { next } => next,
            TaskDecision::Wait { until } => Some(until.saturating_add(1)),
            TaskDecision::Running | TaskDecision::Replace { .. } | TaskDecision::Start(_) => None,
        };
        let catalogue = match self.catalogue.decision {
            TaskDecision::Idle { next } => next,
            TaskDecision::Wait { until } => Some(until.saturating_add(1)),
            TaskDecision::Running | TaskDecision::Replace { .. } | TaskDecision::Start(_) => None,
        };
        training.into_iter().chain(batch).chain(catalogue).min()
    }

    /// Whether no Job runs, starts, stops or is retried.
    pub fn is_idle(&self) -> bool {
        matches!(self.training, TrainingDecision::Idle { .. })
            && matches!(self.batch.decision, TaskDecision::Idle { .. })
            && matches!(self.catalogue.decision, TaskDecision::Idle { .. })
    }
}

/// Makes all decisions. `before` is the current status, `now` is in seconds since 1970.
pub fn decide(
    plan: &Plan,
    observed: &Observed,
    before: &RecommenderStatus,
    timing: TrainingTiming,
    now: i64,
) -> Decision {
    let (results, config) = (observed.results(), observed.config.as_ref());
    let progress = Progress::of(plan, RunHistory { results, jobs: &observed.jobs, before });
    let models = models(plan, results, serving::personalizing_digest(config));
    let training = match &observed.runs {
        Ok(_) => training::training(plan, &observed.jobs, &progress, timing, now),
        // Without the results, a new run could repeat an existing one.
        Err(_) => training::while_runs_are_unknown(&observed.jobs),
    };
    let wanted = serving::serving(plan, &models, config);
    let catalogue = catalogue::catalogue(plan, observed, &wanted, before, timing.backoff, now);
    let gate = serving::gated(plan, &models, &wanted).map(Judged::from);
    // A new revision is announced with its catalogue: until then, the current one serves.
    let awaits_catalogue = catalogue.awaited_by(plan, &wanted, config);
    let announced = if awaits_catalogue.is_some() { wanted.keep_current(config) } else { wanted };
    let serving = announced.with_catalogues(plan, observed).with_loads_first(observed, now);
    let mut stale_jobs = job_history::stale(&observed.jobs);
    stale_jobs.extend_from_slice(&catalogue.stale_jobs);
    Decision {
        progress,
        training,
        batch: batch::batch(plan, observed, &serving, timing.backoff, now),
        catalogue,
        awaits_catalogue,
        gate,
        serving_while_queued: serving
            .keep_current(config)
            .with_catalogues(plan, observed)
            .with_loads_first(observed, now),
        incumbent: serving::incumbent(plan, &models, config),
        stale_jobs,
        garbage: retention::retention(plan, observed, &serving, now),
        serving,
    }
}

#[cfg(test)]
mod tests;

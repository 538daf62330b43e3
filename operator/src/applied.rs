//! What a pass has written, as the API server returned it. The status derives from it. Pure.

use sidecar_contract::{RunId, ServingConfig};

use crate::{error::Error, observed::DeploymentFacts};

/// State of the children after a pass has applied them.
#[derive(Debug, Default)]
pub struct Applied {
    /// State of training.
    pub job: JobOutcome,
    /// State of the Job that writes lists for all users.
    pub batch: JobOutcome,
    /// State of the Job that makes a catalogue.
    pub catalogue: JobOutcome,
    /// Serving config and Deployment.
    pub rollout: AppliedRollout,
    /// Whether a pod has not applied the serving config yet.
    pub config_pending: bool,
    /// Resource version of the Recommender, if its finalizers were written.
    pub resource_version: Option<String>,
    /// Runs whose results were deleted from the store.
    pub deleted_runs: Vec<RunId>,
    /// Writes that the API server rejected permanently. They did not stop the others.
    pub refused: Vec<Error>,
}

impl Applied {
    /// Whether no Job is in progress or due, and nothing was refused, deleted or left for later.
    /// Changes of children are reported by watches.
    pub fn is_quiet(&self) -> bool {
        let Self { job, batch, catalogue, rollout, config_pending, resource_version, deleted_runs, refused } = self;
        [job, batch, catalogue].iter().all(|job| **job == JobOutcome::None)
            && !rollout.queued
            && !config_pending
            && resource_version.is_none()
            && deleted_runs.is_empty()
            && refused.is_empty()
    }
}

/// State of the children of a composition after a pass has applied them.
#[derive(Debug, Default)]
pub struct AppliedComposition {
    /// The Deployment; its config is not a serving config.
    pub rollout: AppliedRollout,
    /// Whether a pod has not applied the composition yet.
    pub config_pending: bool,
    /// Resource version of the Recommender, if its finalizers were written.
    pub resource_version: Option<String>,
    /// Writes that the API server rejected permanently. They did not stop the others.
    pub refused: Vec<Error>,
}

/// Serving config and Deployment as the API server returned them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppliedRollout {
    /// The serving config in force, if there is one.
    pub config: Option<ServingConfig>,
    /// The Deployment, if it exists.
    pub deployment: Option<DeploymentFacts>,
    /// Whether a new model or template waits for the rollouts of other Recommenders.
    pub queued: bool,
}

/// State of a Job after a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobOutcome {
    /// No Job is in progress or due.
    #[default]
    None,
    /// A Job is in progress, or an outdated one is being stopped.
    InProgress,
    /// The Job waits for a slot.
    Queued,
    /// The API server rejected the Job, or an object that its pod needs.
    Refused,
}

impl JobOutcome {
    /// Whether the Recommender holds a slot of this kind, or waits for one.
    pub fn uses_slot(self) -> bool {
        match self {
            Self::InProgress | Self::Queued => true,
            Self::None | Self::Refused => false,
        }
    }
}

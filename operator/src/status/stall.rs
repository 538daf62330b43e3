//! Problems that only the user can fix, in the order in which they are reported.

use recommender_crds::{ConditionType, Reason, condition::ConditionUpdate};

use super::{StatusInput, serving, training};
use crate::{decide::TrainingDecision, error::Error};

/// The problem that the user must fix first.
pub(super) fn stall(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    // While a run may change that, the user need not act.
    let is_idle = matches!(input.decision.training, TrainingDecision::Idle { .. } | TrainingDecision::Wait { .. });
    refused(&input.applied.refused)
        .or_else(|| training::missing_reference(input))
        .or_else(|| serving::pin_not_found(input))
        .or_else(|| serving::refused_promotion(input))
        .or_else(|| training::permanent_failure(input))
        .or_else(|| serving::no_servable_model(input).filter(|_| is_idle))
}

/// Reports the writes that the API server rejected.
pub(super) fn refused(refused: &[Error]) -> Option<ConditionUpdate> {
    let messages: Vec<String> = refused.iter().filter_map(Error::rejection).collect();
    let is_conflict = refused.iter().any(Error::is_name_conflict);
    let reason = if is_conflict { Reason::NameConflict } else { Reason::Forbidden };
    (!messages.is_empty()).then(|| ConditionUpdate::is(ConditionType::Stalled, reason, messages.join("; ")))
}

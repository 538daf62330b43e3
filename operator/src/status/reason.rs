//! What needs attention first, in one word, for the table of kubectl.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use recommender_crds::{ConditionType, Reason, condition::find};

/// Conditions that report a problem of a Recommender that serves, the most urgent first, with the
/// status that does.
const PROBLEMS: [(ConditionType, &str); 14] = [
    (ConditionType::Stalled, "True"),
    (ConditionType::CapacityInsufficient, "True"),
    (ConditionType::RolledBack, "True"),
    (ConditionType::ModelLoaded, "Unknown"),
    (ConditionType::Trained, "Unknown"),
    (ConditionType::Trained, "False"),
    (ConditionType::DataReady, "False"),
    (ConditionType::QualityGatePassed, "False"),
    (ConditionType::PartsReady, "False"),
    (ConditionType::ServingAvailable, "False"),
    (ConditionType::ModelLoaded, "False"),
    (ConditionType::CatalogueHeld, "True"),
    (ConditionType::BatchFailed, "True"),
    (ConditionType::Suspended, "True"),
];
/// Reasons of a condition that is as it should be meanwhile.
const EXPECTED: [Reason; 5] = [
    Reason::TrainingRunning,
    Reason::TrainingPending,
    Reason::TrainingQueued,
    Reason::SuspendedByUser,
    Reason::PinnedByUser,
];

/// The reason of `Ready` while it is not True; else that of the first problem; else that of
/// `Ready`.
pub(super) fn reason(conditions: &[Condition]) -> String {
    let Some(ready) = find(conditions, ConditionType::Ready) else { return String::new() };
    let problem = || {
        PROBLEMS.iter().find_map(|(kind, status)| {
            let condition = find(conditions, *kind).filter(|condition| condition.status == *status)?;
            let is_expected = *status != "True" && EXPECTED.iter().any(|reason| reason.as_str() == condition.reason);
            (!is_expected).then_some(condition)
        })
    };
    let shown = if ready.status == "True" { problem().unwrap_or(ready) } else { ready };
    shown.reason.clone()
}

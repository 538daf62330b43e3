//! What a change of the status announces: the conditions that transitioned, and another serving
//! revision. Pure; `events` records it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use recommender_crds::{ModelStatus, RecommenderStatus, ServingMode};

/// A fact to record as an Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Whether the user should look at it.
    pub is_warning: bool,
    /// Reason of the Event.
    pub reason: String,
    /// The fact.
    pub text: String,
}

/// Reason of a notice that a newer revision serves.
const PROMOTED: &str = "Promoted";
/// Reason of a notice that an older revision serves.
const ROLLED_BACK: &str = "RolledBack";
/// Reasons of conditions that are False while everything goes as planned.
const EXPECTED_REASONS: [&str; 7] = [
    "SuspendedByUser",
    "TrainingRunning",
    "TrainingPending",
    "TrainingQueued",
    "Loading",
    "NoModel",
    "ReplicasUnavailable",
];

/// The notices of a new status. Conditions with the same reason and message give one notice.
pub fn notices(before: &RecommenderStatus, after: &RecommenderStatus) -> Vec<Notice> {
    let mut told: Vec<&Condition> = Vec::new();
    for condition in transitioned(&before.conditions, &after.conditions) {
        let same = |other: &&mut &Condition| other.reason == condition.reason && other.message == condition.message;
        match told.iter_mut().find(same) {
            // The condition that requires an action replaces the one that follows from it.
            Some(other) if is_warning(condition) => *other = condition,
            Some(_) => {}
            None => told.push(condition),
        }
    }
    let of_condition = |condition: &Condition| Notice {
        is_warning: is_warning(condition),
        reason: condition.reason.clone(),
        text: format!("{} is {}: {}", condition.type_, condition.status, condition.message),
    };
    replaced(before, after).into_iter().chain(told.into_iter().map(of_condition)).collect()
}

/// Conditions that are new or whose status or reason changed, except unknown ones. A condition that
/// requires an action is also new with another message, because another fault may have its reason.
fn transitioned<'a>(before: &'a [Condition], after: &'a [Condition]) -> impl Iterator<Item = &'a Condition> {
    let is_known = |new: &Condition| {
        before.iter().any(|old| {
            let same_fact = old.type_ == new.type_ && old.status == new.status && old.reason == new.reason;
            same_fact && (!requires_action(new) || old.message == new.message)
        })
    };
    after.iter().filter(move |new| new.status != "Unknown" && !is_known(new))
}

fn is_warning(condition: &Condition) -> bool {
    match condition.type_.as_str() {
        "Reconciling" | "Suspended" => false,
        _ if requires_action(condition) => true,
        _ => condition.status == "False" && !EXPECTED_REASONS.contains(&condition.reason.as_str()),
    }
}

fn requires_action(condition: &Condition) -> bool {
    matches!(condition.type_.as_str(), "Stalled" | "CapacityInsufficient")
}

/// Another revision personalizes recommendations than before.
fn replaced<'a>(before: &'a RecommenderStatus, after: &'a RecommenderStatus) -> Option<Notice> {
    let personalizing =
        |status: &'a RecommenderStatus| status.model.as_ref().filter(|m| m.serving_mode == ServingMode::Personalized);
    let (old, new) = (personalizing(before), personalizing(after)?);
    if old.is_some_and(|old| old.digest == new.digest) {
        return None;
    }
    let run = |model: &ModelStatus| if model.run > 0 { format!(" (run {})", model.run) } else { String::new() };
    let was = old.map(|old| format!(", was {}", old.revision)).unwrap_or_default();
    let is_older = old.is_some_and(|old| new.run > 0 && new.run < old.run);
    Some(Notice {
        is_warning: false,
        reason: if is_older { ROLLED_BACK } else { PROMOTED }.to_owned(),
        text: format!("{} serves{}{was}", new.revision, run(new)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(yaml: &str) -> RecommenderStatus {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    fn texts(before: &str, after: &str) -> Vec<(bool, String)> {
        let notices = notices(&status(before), &status(after)).into_iter();
        notices.map(|notice| (notice.is_warning, format!("{}: {}", notice.reason, notice.text))).collect()
    }

    #[test]
    fn another_revision_is_announced_with_the_one_before() {
        let (one, two) = ("{model: {digest: aa, revision: aa, run: 1}}", "{model: {digest: bb, revision: bb, run: 2}}");
        let text = |text: &str| vec![(false, text.to_owned())];
        assert_eq!(texts("{}", one), text("Promoted: aa serves (run 1)"));
        assert_eq!(texts(one, two), text("Promoted: bb serves (run 2), was aa"));
        assert_eq!(texts(two, one), text("RolledBack: aa serves (run 1), was bb"));
        assert_eq!((texts(one, one), texts(one, "{}")), (vec![], vec![]));
        let popular = "{model: {digest: aa, revision: aa, run: 1, servingMode: popularityOnly}}";
        assert_eq!((texts("{}", popular), texts(popular, one)), (vec![], text("Promoted: aa serves (run 1)")));
    }

    #[test]
    fn a_fact_of_two_conditions_is_announced_once_as_a_warning() {
        let condition = |kind: &str, status: &str, message: &str| {
            format!(
                "{{type: {kind}, status: '{status}', reason: DataInvalid, message: {message}, lastTransitionTime: '1970-01-01T00:00:00Z'}}"
            )
        };
        let both =
            format!("{{conditions: [{}, {}]}}", condition("Ready", "False", "a"), condition("Stalled", "True", "a"));
        assert_eq!(texts("{}", &both), [(true, "DataInvalid: Stalled is True: a".to_owned())]);
        let other =
            format!("{{conditions: [{}, {}]}}", condition("Ready", "False", "a"), condition("Trained", "False", "b"));
        assert_eq!(texts("{}", &other).len(), 2);
    }

    #[test]
    fn another_message_is_another_fact_only_if_the_user_must_act() {
        let conditions = |kind: &str, message: &str| {
            format!(
                "{{conditions: [{{type: {kind}, status: 'True', reason: DataInvalid, message: {message}, lastTransitionTime: '1970-01-01T00:00:00Z'}}]}}"
            )
        };
        let second_fault = texts(&conditions("Stalled", "a"), &conditions("Stalled", "b"));
        assert_eq!(second_fault, [(true, "DataInvalid: Stalled is True: b".to_owned())]);
        assert_eq!(texts(&conditions("Stalled", "a"), &conditions("Stalled", "a")), []);
        assert_eq!(texts(&conditions("ServingAvailable", "a"), &conditions("ServingAvailable", "b")), []);
    }
}

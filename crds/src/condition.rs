//! Condition types and reasons, and how conditions are merged. Their names are defined only here.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Maximum length of a condition message in bytes; a longer message is truncated.
pub const MESSAGE_BYTES_MAX: usize = 4096;

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the name in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// Returns the variant with this name in the API.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_enum! {
    /// Types of conditions. The first six are always present, unless a Recommender is made of others:
    /// then PartsReady takes the place of DataReady, Trained and QualityGatePassed. The others are
    /// present only while they are true.
    ConditionType {
        /// The required replicas are ready, and a pod serves a model.
        Ready,
        /// The data was found and is valid.
        DataReady,
        /// A model of the current spec exists, and the last run did not fail.
        Trained,
        /// The model passed the quality gate.
        QualityGatePassed,
        /// All serving pods have loaded the model.
        ModelLoaded,
        /// The minimum number of serving pods is ready.
        ServingAvailable,
        /// A new generation is being rolled out.
        Reconciling,
        /// The user must act.
        Stalled,
        /// `spec.suspend` or `training.suspend` is true.
        Suspended,
        /// The serving model is older than the newest one.
        RolledBack,
        /// A process needs more memory than its limit.
        CapacityInsufficient,
        /// The last batch of lists for all users failed.
        BatchFailed,
        /// A newer item table does not serve.
        CatalogueHeld,
        /// The parts of a composition exist, and can be asked.
        PartsReady,
    }
}

named_enum! {
    /// Reasons of conditions.
    Reason {
        // Ready, ServingAvailable
        /// The model is served.
        Serving,
        /// Fewer pods are ready than required.
        ReplicasUnavailable,
        /// The minimum number of pods is ready.
        ReplicasAvailable,
        /// `serving.replicas` is 0.
        ScaledToZero,
        // DataReady
        /// The last run read the data.
        DataAvailable,
        /// No run has checked the data yet.
        DataUnknown,
        /// The data does not exist, or these credentials may not read it.
        SourceNotFound,
        /// The server of the data did not respond.
        SourceUnreachable,
        /// The data does not match the spec.
        DataInvalid,
        /// Too few interactions remain to train on.
        TooFewInteractions,
        /// More rows were dropped than `data.maxDroppedFraction`.
        RowsDropped,
        /// Fewer rows were kept than `data.minRows`.
        TooFewRows,
        /// Far fewer rows were kept than for the serving model: `data.maxShrinkFraction`.
        RowsMissing,
        // Trained
        /// The last run produced a model.
        TrainingSucceeded,
        /// A run is in progress.
        TrainingRunning,
        /// A run will start.
        TrainingPending,
        /// The trainer pod cannot be created or started until someone acts.
        TrainingBlocked,
        /// The run waits for runs of other Recommenders.
        TrainingQueued,
        /// A run failed and will be retried.
        TrainingFailed,
        /// A run exceeded `training.deadline`.
        DeadlineExceeded,
        /// Training diverged (non-finite values).
        TrainingDiverged,
        /// The trainer was `OOMKilled`.
        OOMKilled,
        /// This version does not support what the spec requests.
        NotSupported,
        /// The trainer rejected its configuration.
        ConfigInvalid,
        // QualityGatePassed
        /// The metric passes the gate.
        GatePassed,
        /// The metric does not pass the gate.
        GateFailed,
        /// There are too few test users for a decision.
        TooFewTestUsers,
        /// The user pinned the revision.
        PinnedByUser,
        /// The model is better than the baseline and worse than the serving model.
        Regressed,
        /// No model has been evaluated yet.
        NotEvaluated,
        // ModelLoaded
        /// All pods report the revision.
        Loaded,
        /// Some pods do not report the revision yet.
        Loading,
        /// No pod answers the operator on its admin port.
        PodsUnreachable,
        /// There is no model to load yet.
        NoModel,
        /// A pod failed to load the model.
        LoadFailed,
        /// A pod found that the snapshot does not match its digest.
        DigestMismatch,
        /// A trained model waits for its first catalogue.
        AwaitingCatalogue,
        // Reconciling
        /// The generation is new.
        NewGeneration,
        /// Pods are being replaced.
        RollingOut,
        /// The rollout waits for rollouts of other Recommenders.
        RolloutQueued,
        // Stalled
        /// The spec is invalid.
        InvalidSpec,
        /// An object of that name exists and is not owned by this Recommender.
        NameConflict,
        /// An object that the spec references does not exist.
        ReferenceNotFound,
        /// The API server rejected an object.
        Forbidden,
        /// The store does not respond.
        StoreUnreachable,
        /// `model.revision` names a revision that is not retained.
        RevisionNotFound,
        /// A model passed the gate and awaits promotion.
        AwaitingPromotion,
        /// The Recommender is being deleted.
        Deleting,
        // Suspended
        /// The spec suspends training or promotion.
        SuspendedByUser,
        // CapacityInsufficient
        /// The memory limit is too low; the message states the value to set.
        MemoryInsufficient,
        /// The same reason as reported by trainer and sidecar.
        CapacityInsufficient,
        // RolledBack
        /// The last good model serves, because a newer one cannot be loaded.
        FellBackToLastGood,
        // BatchFailed
        /// A batch of lists failed and is retried.
        BatchNotWritten,
        /// The pod of a batch cannot be created or started until someone acts.
        BatchBlocked,
        // CatalogueHeld
        /// The item table lacks more than half of the items, or takes them out of stock.
        CatalogueShrunk,
        /// A refresh failed and is retried.
        CatalogueNotMade,
        // PartsReady
        /// All parts exist, and can be asked.
        PartsFound,
        /// A part does not exist.
        PartNotFound,
        /// The access of a part does not admit the composition.
        PartUnreachable,
        /// A part is made of the composition.
        PartsCyclic,
        /// The scores of the parts cannot be compared.
        PartsUnlike,
    }
}

/// A new value of one condition, without times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// Type of the condition.
    pub condition: ConditionType,
    /// True, false, or unknown (`None`).
    pub status: Option<bool>,
    /// Why the condition has this status.
    pub reason: Reason,
    /// Human-readable details, and what to do.
    pub message: String,
}

impl ConditionUpdate {
    /// A condition with status True.
    pub fn is(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, status: Some(true), reason, message: message.into() }
    }

    /// A condition with status False.
    pub fn is_not(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, status: Some(false), reason, message: message.into() }
    }

    /// A condition with status Unknown.
    pub fn unknown(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, status: None, reason, message: message.into() }
    }
}

/// Merges `updates` into the conditions `before`. The result is in the order of [`ConditionType`]
/// and has one condition per type: the last update wins, and types without an update are removed. A
/// condition keeps its `lastTransitionTime` while its status does not change. `now` is truncated to
/// seconds, which is what the API stores.
pub fn merge(before: &[Condition], updates: &[ConditionUpdate], generation: i64, now: Timestamp) -> Vec<Condition> {
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let merged = ConditionType::ALL.iter().filter_map(|kind| {
        let update = updates.iter().rev().find(|update| update.condition == *kind)?;
        let status = match update.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let last_transition_time = find(before, *kind)
            .filter(|condition| condition.status == status)
            .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone());
        Some(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            observed_generation: Some(generation),
            last_transition_time,
            reason: update.reason.as_str().to_owned(),
            message: truncated(&update.message).to_owned(),
        })
    });
    merged.collect()
}

/// Returns the condition of this type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Returns whether the condition of this type is present and true.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

fn truncated(message: &str) -> &str {
    message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 500).unwrap()
    }

    #[test]
    fn last_transition_time_changes_only_with_the_status() {
        let first = merge(
            &[],
            &[
                ConditionUpdate::is_not(ConditionType::Ready, Reason::TrainingRunning, "training"),
                ConditionUpdate::is(ConditionType::Reconciling, Reason::NewGeneration, ""),
            ],
            1,
            at(100),
        );
        let fields: Vec<_> = first.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect();
        assert_eq!(fields, [("Ready", "False", "TrainingRunning"), ("Reconciling", "True", "NewGeneration")]);

        let second =
            merge(&first, &[ConditionUpdate::is_not(ConditionType::Ready, Reason::LoadFailed, "other")], 2, at(200));
        assert_eq!(second.len(), 1, "a condition without an update is removed");
        let ready = find(&second, ConditionType::Ready).unwrap();
        assert_eq!(ready.last_transition_time.0.as_second(), 100);
        assert_eq!((ready.reason.as_str(), ready.observed_generation), ("LoadFailed", Some(2)));

        let third = merge(&second, &[ConditionUpdate::is(ConditionType::Ready, Reason::Serving, "")], 2, at(300));
        assert_eq!(third.first().unwrap().last_transition_time.0, Timestamp::from_second(300).unwrap());
        assert!(is_true(&third, ConditionType::Ready));
        let again = merge(&third, &[ConditionUpdate::is(ConditionType::Ready, Reason::Serving, "")], 2, at(400));
        assert_eq!(again, third, "an equal update changes nothing");
    }

    #[test]
    fn the_last_update_wins_and_unknown_is_a_status() {
        let updates = [
            ConditionUpdate::is(ConditionType::QualityGatePassed, Reason::GatePassed, ""),
            ConditionUpdate::unknown(ConditionType::QualityGatePassed, Reason::TooFewTestUsers, ""),
        ];
        let merged = merge(&[], &updates, 1, at(1));
        assert_eq!(merged.iter().map(|c| c.status.as_str()).collect::<Vec<_>>(), ["Unknown"]);
    }

    #[test]
    fn a_long_message_is_truncated_at_a_character_boundary() {
        let message = "é".repeat(MESSAGE_BYTES_MAX);
        let merged = merge(&[], &[ConditionUpdate::is(ConditionType::Ready, Reason::Serving, message)], 1, at(1));
        assert_eq!(merged.first().unwrap().message.len(), MESSAGE_BYTES_MAX);
    }

    #[test]
    fn names_parse_back_and_are_valid_in_the_api() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()), "{reason}");
        }
        for kind in ConditionType::ALL {
            assert_eq!(ConditionType::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(Reason::parse("Nonsense"), None);
    }
}

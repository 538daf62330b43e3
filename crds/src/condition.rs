//! Condition types and reasons: their words stand here and nowhere else. And how conditions change.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Longest message of a condition, in bytes; a longer one is cut.
pub const MESSAGE_BYTES_MAX: usize = 4096;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// The one with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Types of conditions. The first six are always there; the others only while they are true.
    ConditionType {
        /// Recommendations are answered, as the spec asks.
        Ready,
        /// The data was found and is usable.
        DataReady,
        /// There is a model for the data and parameters of now.
        Trained,
        /// The model is good enough.
        QualityGatePassed,
        /// All serving pods have loaded the model.
        ModelLoaded,
        /// Enough serving pods are ready.
        ServingAvailable,
        /// A generation rolls out.
        Reconciling,
        /// The user must act.
        Stalled,
        /// `spec.suspend` or `training.suspend` is true.
        Suspended,
        /// An older model serves than the newest one.
        RolledBack,
        /// Something does not fit into the memory that it may have.
        CapacityInsufficient,
    }
}

impl ConditionType {
    /// Whether the condition is absent when all is fine.
    pub const fn is_absent_when_fine(self) -> bool {
        matches!(
            self,
            Self::Reconciling | Self::Stalled | Self::Suspended | Self::RolledBack | Self::CapacityInsufficient
        )
    }
}

words! {
    /// Reasons of conditions.
    Reason {
        // Ready, ServingAvailable
        /// The model answers.
        Serving,
        /// No model yet: what is popular answers, or nothing does.
        AwaitingFirstModel,
        /// There are fewer ready pods than there should be.
        ReplicasUnavailable,
        /// The minimum of ready pods is there.
        ReplicasAvailable,
        /// `serving.replicas` is 0.
        ScaledToZero,
        // DataReady
        /// Read by the last run.
        DataRead,
        /// Nobody has looked yet.
        DataNotChecked,
        /// The data is not there, or not readable with these credentials.
        SourceNotFound,
        /// The data is not what the resource says.
        DataInvalid,
        /// Too little is left to learn from.
        TooFewInteractions,
        // Trained
        /// The last run made a model.
        TrainingSucceeded,
        /// A run is under way.
        TrainingRunning,
        /// A run is to start.
        TrainingPending,
        /// Other Recommenders train first.
        TrainingQueued,
        /// A run failed, and is tried again.
        TrainingFailed,
        /// A run took longer than `training.deadline`.
        DeadlineExceeded,
        /// The mathematics overflowed.
        TrainingDiverged,
        /// The trainer was killed for its memory.
        OOMKilled,
        /// What the resource asks for is not in this version.
        NotSupported,
        /// The trainer cannot work as it was told.
        ConfigInvalid,
        // QualityGatePassed
        /// The metric reaches what the gate asks for.
        GatePassed,
        /// The metric does not.
        GateFailed,
        /// Too few users to tell.
        TooFewTestUsers,
        /// The user pinned the revision.
        PinnedByUser,
        /// Better than the baseline, and worse than the model that served.
        Regressed,
        /// There is nothing to judge yet.
        NotEvaluated,
        // ModelLoaded
        /// All pods report it.
        Loaded,
        /// Some pods do not report it yet.
        Loading,
        /// There is nothing to load yet.
        NoModel,
        /// A pod could not load it.
        LoadFailed,
        /// A pod found other bytes than the digest says.
        DigestMismatch,
        // Reconciling
        /// The generation is new.
        NewGeneration,
        /// Pods are replaced.
        RollingOut,
        /// Other Recommenders roll out first.
        RolloutQueued,
        // Stalled
        /// The resource says something that cannot be.
        InvalidSpec,
        /// An object of that name is there already, and is somebody else's.
        NameTaken,
        /// An object that the resource names is not there.
        ReferenceNotFound,
        /// The API server refused an object.
        Forbidden,
        /// The store does not answer.
        StoreUnreachable,
        /// `model.revision` names a revision that is not kept.
        RevisionNotFound,
        /// A model passed the gate and waits to be promoted.
        AwaitingPromotion,
        /// The Recommender is being deleted.
        Deleting,
        // Suspended
        /// As the resource asks.
        SuspendedByUser,
        // CapacityInsufficient
        /// The number to set is in the message.
        MemoryInsufficient,
        /// The same, in the words of trainer and sidecar.
        CapacityInsufficient,
        // RolledBack
        /// An older model serves.
        LastGoodServes,
    }
}

/// One condition as it is to be, without times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which one.
    pub condition: ConditionType,
    /// True, false, or not known.
    pub status: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// What to know or to do, for people.
    pub message: String,
}

impl Verdict {
    /// A condition that holds.
    pub fn is(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, status: Some(true), reason, message: message.into() }
    }

    /// A condition that does not hold.
    pub fn is_not(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, status: Some(false), reason, message: message.into() }
    }

    /// A condition that nobody can tell.
    pub fn unknown(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { condition, status: None, reason, message: message.into() }
    }
}

/// The conditions after `verdicts`, given those before: in the order of [`ConditionType`], one of a type (the last verdict
/// wins), types without a verdict removed. A condition keeps its `lastTransitionTime` as long as its status does; `now` is
/// cut to seconds, which is what the API stores.
pub fn merge(before: &[Condition], verdicts: &[Verdict], generation: i64, now: Timestamp) -> Vec<Condition> {
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let merged = ConditionType::ALL.iter().filter_map(|kind| {
        let verdict = verdicts.iter().rev().find(|verdict| verdict.condition == *kind)?;
        let status = match verdict.status {
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
            reason: verdict.reason.as_str().to_owned(),
            message: cut(&verdict.message).to_owned(),
        })
    });
    merged.collect()
}

/// The condition of this type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Whether the condition of this type is there and true.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

fn cut(message: &str) -> &str {
    message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 500).unwrap()
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let first = merge(
            &[],
            &[
                Verdict::is_not(ConditionType::Ready, Reason::AwaitingFirstModel, "training"),
                Verdict::is(ConditionType::Reconciling, Reason::NewGeneration, ""),
            ],
            1,
            at(100),
        );
        let words: Vec<_> = first.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect();
        assert_eq!(words, [("Ready", "False", "AwaitingFirstModel"), ("Reconciling", "True", "NewGeneration")]);

        let second = merge(&first, &[Verdict::is_not(ConditionType::Ready, Reason::LoadFailed, "other")], 2, at(200));
        assert_eq!(second.len(), 1, "what is no longer said is removed");
        let ready = find(&second, ConditionType::Ready).unwrap();
        assert_eq!(ready.last_transition_time.0.as_second(), 100);
        assert_eq!((ready.reason.as_str(), ready.observed_generation), ("LoadFailed", Some(2)));

        let third = merge(&second, &[Verdict::is(ConditionType::Ready, Reason::Serving, "")], 2, at(300));
        assert_eq!(third.first().unwrap().last_transition_time.0, Timestamp::from_second(300).unwrap());
        assert!(is_true(&third, ConditionType::Ready));
        let again = merge(&third, &[Verdict::is(ConditionType::Ready, Reason::Serving, "")], 2, at(400));
        assert_eq!(again, third, "the same verdict changes nothing");
    }

    #[test]
    fn the_last_verdict_wins_and_unknown_has_its_word() {
        let verdicts = [
            Verdict::is(ConditionType::QualityGatePassed, Reason::GatePassed, ""),
            Verdict::unknown(ConditionType::QualityGatePassed, Reason::TooFewTestUsers, ""),
        ];
        let merged = merge(&[], &verdicts, 1, at(1));
        assert_eq!(merged.iter().map(|c| c.status.as_str()).collect::<Vec<_>>(), ["Unknown"]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = "é".repeat(MESSAGE_BYTES_MAX);
        let merged = merge(&[], &[Verdict::is(ConditionType::Ready, Reason::Serving, message)], 1, at(1));
        assert_eq!(merged.first().unwrap().message.len(), MESSAGE_BYTES_MAX);
    }

    #[test]
    fn words_read_back_and_fit_the_api() {
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

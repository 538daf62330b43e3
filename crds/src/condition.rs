//! Conditions: their types and reasons as the status spells them, and how a list of them changes.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, apimachinery::pkg::apis::meta::v1::Time};

/// Condition types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The summary: it answers as the spec says.
    Ready,
    /// The source could be read.
    DataReady,
    /// A model of this spec is trained.
    Trained,
    /// The newest model reached the gate.
    QualityGatePassed,
    /// The pods answer with the desired revision.
    ModelLoaded,
    /// Enough pods answer.
    ServingAvailable,
    /// A generation is rolling out. Absent otherwise.
    Reconciling,
    /// The user must act. Absent otherwise.
    Stalled,
    /// Runs and promotions are stopped. Absent otherwise.
    Suspended,
    /// Memory does not do. Absent otherwise.
    CapacityInsufficient,
}

impl ConditionType {
    /// All of them, in the order of the status.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::DataReady,
        Self::Trained,
        Self::QualityGatePassed,
        Self::ModelLoaded,
        Self::ServingAvailable,
        Self::Reconciling,
        Self::Stalled,
        Self::Suspended,
        Self::CapacityInsufficient,
    ];

    /// As the status spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::DataReady => "DataReady",
            Self::Trained => "Trained",
            Self::QualityGatePassed => "QualityGatePassed",
            Self::ModelLoaded => "ModelLoaded",
            Self::ServingAvailable => "ServingAvailable",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Suspended => "Suspended",
            Self::CapacityInsufficient => "CapacityInsufficient",
        }
    }
}

/// Reasons; a closed set, also fit for a metric's label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words say it; messages say the rest")]
pub enum Reason {
    Serving,
    ScaledToZero,
    WaitingForModel,
    WaitingForPods,
    PodsUnavailable,
    LoadFailed,
    Loading,
    Loaded,
    DataRead,
    DataUnchanged,
    DataUnknown,
    DataInvalid,
    SourceNotFound,
    SecretNotFound,
    ClaimNotFound,
    TooFewInteractions,
    TrainingRunning,
    TrainingPending,
    TrainingFailed,
    TrainingDiverged,
    DeadlineExceeded,
    OutOfMemory,
    CapacityInsufficient,
    Trained,
    GatePassed,
    GateFailed,
    NoGate,
    NotMeasured,
    TooFewTestUsers,
    InvalidSpec,
    NameTaken,
    StoreUnreachable,
    SuspendedByUser,
    NewGeneration,
}

impl Reason {
    /// As the status spells it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::ScaledToZero => "ScaledToZero",
            Self::WaitingForModel => "WaitingForModel",
            Self::WaitingForPods => "WaitingForPods",
            Self::PodsUnavailable => "PodsUnavailable",
            Self::LoadFailed => "LoadFailed",
            Self::Loading => "Loading",
            Self::Loaded => "Loaded",
            Self::DataRead => "DataRead",
            Self::DataUnchanged => "DataUnchanged",
            Self::DataUnknown => "DataUnknown",
            Self::DataInvalid => "DataInvalid",
            Self::SourceNotFound => "SourceNotFound",
            Self::SecretNotFound => "SecretNotFound",
            Self::ClaimNotFound => "ClaimNotFound",
            Self::TooFewInteractions => "TooFewInteractions",
            Self::TrainingRunning => "TrainingRunning",
            Self::TrainingPending => "TrainingPending",
            Self::TrainingFailed => "TrainingFailed",
            Self::TrainingDiverged => "TrainingDiverged",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::OutOfMemory => "OutOfMemory",
            Self::CapacityInsufficient => "CapacityInsufficient",
            Self::Trained => "Trained",
            Self::GatePassed => "GatePassed",
            Self::GateFailed => "GateFailed",
            Self::NoGate => "NoGate",
            Self::NotMeasured => "NotMeasured",
            Self::TooFewTestUsers => "TooFewTestUsers",
            Self::InvalidSpec => "InvalidSpec",
            Self::NameTaken => "NameTaken",
            Self::StoreUnreachable => "StoreUnreachable",
            Self::SuspendedByUser => "SuspendedByUser",
            Self::NewGeneration => "NewGeneration",
        }
    }
}

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    /// As the status spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// A condition that is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its type.
    pub kind: ConditionType,
    /// Whether it holds.
    pub truth: Truth,
    /// Why, one word.
    pub reason: Reason,
    /// Why, and what to do.
    pub message: String,
}

/// The list that replaces `before`: `claims` in their order, transition times kept where the truth is what it was.
pub fn merge(before: &[Condition], claims: &[Claim], generation: i64, now: &Time) -> Vec<Condition> {
    claims
        .iter()
        .map(|claim| {
            let old = before.iter().find(|c| c.type_ == claim.kind.as_str());
            let unchanged = old.filter(|c| c.status == claim.truth.as_str());
            Condition {
                type_: claim.kind.as_str().to_owned(),
                status: claim.truth.as_str().to_owned(),
                reason: claim.reason.as_str().to_owned(),
                message: claim.message.clone(),
                observed_generation: Some(generation),
                last_transition_time: unchanged.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

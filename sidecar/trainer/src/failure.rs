//! Errors of a run, with their reasons in the run result and their exit codes.

use algorithms::AlgorithmError;
use sidecar_contract::ExitCode;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A retry cannot help: the failure is committed as the run's result.
    #[error("{message}")]
    Permanent {
        /// A reason from the closed set.
        reason: FailureReason,
        /// What is wrong, what is valid, what to fix. No user ids.
        message: String,
    },
    /// An infrastructure error: nothing is committed, and the same run may be retried.
    #[error("{message}")]
    Transient {
        /// What did not respond.
        reason: RetryReason,
        /// What failed.
        message: String,
    },
}

/// Why a run is retried; the termination message contains the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The server of the data did not respond: it is unknown whether the data can be used.
    SourceUnreachable,
    /// Anything else.
    Retry,
}

impl RetryReason {
    /// The CamelCase name in the termination message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceUnreachable => "SourceUnreachable",
            Self::Retry => "Retry",
        }
    }
}

impl From<AlgorithmError> for RunError {
    fn from(error: AlgorithmError) -> Self {
        let reason = match error {
            AlgorithmError::Unknown { .. } => FailureReason::NotSupported,
            AlgorithmError::NotChosen | AlgorithmError::Signal { .. } | AlgorithmError::Parameter { .. } => {
                FailureReason::ConfigInvalid
            }
        };
        Self::permanent(reason, format!("spec.algorithm.{error}"))
    }
}

/// The closed set of reasons; the run result contains their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The data does not match the resource.
    DataInvalid,
    /// The source does not exist, or these credentials cannot read it.
    SourceNotFound,
    /// The rows are valid, but too few to fit a model.
    TooFewInteractions,
    /// The fit produced non-finite values.
    TrainingDiverged,
    /// Too many users, items or interactions, or not enough memory.
    CapacityInsufficient,
    /// The resource requests a feature that this release does not support.
    NotSupported,
    /// A parameter is out of bounds.
    ConfigInvalid,
}

impl FailureReason {
    const ALL: [Self; 7] = [
        Self::DataInvalid,
        Self::SourceNotFound,
        Self::TooFewInteractions,
        Self::TrainingDiverged,
        Self::CapacityInsufficient,
        Self::NotSupported,
        Self::ConfigInvalid,
    ];

    /// The reason with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The CamelCase name in the run result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DataInvalid => "DataInvalid",
            Self::SourceNotFound => "SourceNotFound",
            Self::TooFewInteractions => "TooFewInteractions",
            Self::TrainingDiverged => "TrainingDiverged",
            Self::CapacityInsufficient => "CapacityInsufficient",
            Self::NotSupported => "NotSupported",
            Self::ConfigInvalid => "ConfigInvalid",
        }
    }

    /// Exit code of the process.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::DataInvalid | Self::TooFewInteractions => ExitCode::BadData,
            Self::SourceNotFound => ExitCode::NoInput,
            Self::TrainingDiverged => ExitCode::Diverged,
            Self::CapacityInsufficient => ExitCode::OutOfCapacity,
            Self::NotSupported | Self::ConfigInvalid => ExitCode::Usage,
        }
    }
}

impl RunError {
    pub(crate) fn permanent(reason: FailureReason, message: impl Into<String>) -> Self {
        Self::Permanent { reason, message: message.into() }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::permanent(FailureReason::DataInvalid, message)
    }

    /// A table without a row.
    pub(crate) fn empty_table(described_as: &str) -> Self {
        Self::bad_data(format!("{described_as} is empty: expected a header and one or more rows"))
    }

    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self::Transient { reason: RetryReason::Retry, message: message.into() }
    }

    pub(crate) fn source_unreachable(message: impl Into<String>) -> Self {
        Self::Transient { reason: RetryReason::SourceUnreachable, message: message.into() }
    }
}

/// An error and its chain of causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

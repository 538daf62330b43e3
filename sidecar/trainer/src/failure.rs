//! The ways in which a run stops short, in the words of the run result and the exit code.

use sidecar_contract::ExitCode;

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Trying the same again cannot help: it becomes the run's result.
    #[error("{message}")]
    Failed {
        /// One of the closed set.
        reason: FailureReason,
        /// What is wrong, what was expected, what to try. No user id.
        message: String,
    },
    /// The world misbehaved: no result, the same run may be tried again.
    #[error("{message}")]
    Retry {
        /// What happened.
        message: String,
    },
}

/// The closed set of reasons; the run result holds their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The data is not what the resource says.
    DataInvalid,
    /// The source is not there, or not readable with these credentials.
    SourceNotFound,
    /// Rows are fine, but too few to fit anything.
    TooFewInteractions,
    /// The mathematics failed.
    TrainingDiverged,
    /// More users, items, interactions or memory than fit.
    CapacityInsufficient,
    /// The resource asks for what this release does not do.
    NotSupported,
    /// A parameter is out of its bounds.
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

    /// The reason with this word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The CamelCase word in the run result.
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

    /// What the process exits with.
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

impl Stop {
    pub(crate) fn failed(reason: FailureReason, message: impl Into<String>) -> Self {
        Self::Failed { reason, message: message.into() }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::failed(FailureReason::DataInvalid, message)
    }

    pub(crate) fn retry(message: impl Into<String>) -> Self {
        Self::Retry { message: message.into() }
    }
}

/// An error with everything that caused it, in one line.
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

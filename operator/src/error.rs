//! Failures of a pass. A mistake in a spec, or a store that is down, is not an error but data for
//! the status. Pure.

use kube::core::Status;
use thiserror::Error;

use crate::names::IDENTITY_SECRET;

/// How the API server reports an admission webhook that does not respond.
const WEBHOOK_FAILURE: &str = "failed calling webhook";

/// Failure of a reconcile step.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server rejected the request or could not be reached.
    #[error("{action}")]
    Api {
        /// The attempted action and its object.
        action: String,
        /// Cause of the failure.
        source: kube::Error,
    },
    /// The Recommender changed while the pass was running.
    #[error("{name} changed meanwhile; the next pass starts from its current state")]
    Changed {
        /// Namespace and name.
        name: String,
    },
    /// An object of another owner has the name of a child.
    #[error("{kind} {name} exists and belongs to another owner; delete or rename it")]
    NameConflict {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name.
        name: String,
    },
    /// More objects of a kind have the label of a Recommender than a pass reads.
    #[error(
        "more than {max} {kind} have label recmesh.dev/recommender of Recommender {name}; delete those that have ended, or that are not its own"
    )]
    TooMany {
        /// Plural of the kind.
        kind: &'static str,
        /// Namespace and name of the Recommender.
        name: String,
        /// Maximum number.
        max: usize,
    },
    /// An object lacks a field that every stored object has.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// The root Secret exists but is unusable.
    #[error("Secret {name}: {problem}; delete it only if all credentials of the store may change")]
    RootSecret {
        /// Name of the Secret.
        name: &'static str,
        /// Description of the problem.
        problem: &'static str,
    },
    /// The Secret with the roots of identity exists but is unusable, or cannot be made.
    #[error("Secret {name}: {problem}; restore it, or delete it and all pods that have certificates")]
    IdentitySecret {
        /// Name of the Secret.
        name: &'static str,
        /// Description of the problem.
        problem: String,
    },
}

impl Error {
    /// Metric label from a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { .. } => "api",
            Self::Changed { .. } => "changed",
            Self::NameConflict { .. } => "name_conflict",
            Self::TooMany { .. } => "too_many",
            Self::Incomplete(_) => "incomplete",
            Self::RootSecret { .. } => "root_secret",
            Self::IdentitySecret { .. } => "identity_secret",
        }
    }

    /// Message for the user if the API server rejected the request permanently, or if the name of a
    /// child is in use, so that a retry alone would not help.
    pub fn rejection(&self) -> Option<String> {
        match self {
            Self::Api { action, source: kube::Error::Api(status) } if is_rejection(status) => {
                Some(format!("{action}: rejected by the API server: {}", status.message))
            }
            Self::NameConflict { .. } | Self::TooMany { .. } => Some(self.to_string()),
            _ => None,
        }
    }

    /// Whether an object of another owner has the name of a child.
    pub fn is_name_conflict(&self) -> bool {
        matches!(self, Self::NameConflict { .. })
    }

    /// The Secret with the roots of identity is unusable.
    pub fn identity_secret(problem: impl std::error::Error) -> Self {
        Self::IdentitySecret { name: IDENTITY_SECRET, problem: chain(&problem) }
    }

    /// Wraps an API error with the attempted action.
    pub fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source }
    }
}

/// Whether the API server would give the same answer again. That includes an admission webhook that
/// does not respond: it concerns one kind of object, and only its owner can fix it.
fn is_rejection(status: &Status) -> bool {
    matches!(status.code, 400 | 403 | 422) || (status.code == 500 && status.message.contains(WEBHOOK_FAILURE))
}

/// The error and its chain of causes in one line, for logs and messages.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permanent_status_codes_are_rejections() {
        let rejection = |code: u16| {
            let status = Status::failure("no", "").with_code(code);
            Error::api("cannot apply Deployment shop/movies")(kube::Error::Api(Box::new(status))).rejection()
        };
        for code in [400, 403, 422] {
            let expected = "cannot apply Deployment shop/movies: rejected by the API server: no";
            assert_eq!(rejection(code).as_deref(), Some(expected), "{code}");
        }
        // Not found, conflict, expired, too many requests, server error: a retry may succeed.
        for code in [404, 409, 410, 429, 500, 503] {
            assert_eq!(rejection(code), None, "{code}");
        }
        assert_eq!(Error::Incomplete("name").rejection(), None);
        let message = "Internal error occurred: failed calling webhook \"check.example.com\": connection refused";
        let unanswered = kube::Error::Api(Box::new(Status::failure(message, "InternalError").with_code(500)));
        assert!(Error::api("cannot create Job")(unanswered).rejection().unwrap().contains("check.example.com"));
    }
}

//! What can go wrong in the world. A user's mistake is no error: it is data for the status.

use thiserror::Error;

/// A failed step.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("{action}")]
    Api {
        /// What was tried on which object.
        action: String,
        /// The cause.
        source: kube::Error,
    },
    /// An object without what every stored object has.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// The store could not be opened.
    #[error("the store cannot be opened")]
    Store(#[from] store_client::StoreError),
    /// The root Secret is there, but unusable.
    #[error("Secret {name}: {problem}; delete it only if the store's credentials may all change")]
    RootSecret {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Error {
    /// A closed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { .. } => "api",
            Self::Incomplete(_) => "incomplete",
            Self::Store(_) => "store",
            Self::RootSecret { .. } => "root_secret",
        }
    }

    /// What to tell the user when the API server understood an object and refused it: it will refuse it again.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Api { action, source: kube::Error::Api(status) } if matches!(status.code, 400 | 403 | 422) => {
                Some(format!("{action}, the API server refuses it: {}", status.message))
            }
            _ => None,
        }
    }

    /// Wraps an API error with what was tried.
    pub fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source }
    }
}

/// The chain of causes in one line, for logs and messages.
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
    fn only_what_would_be_refused_again_is_a_refusal() {
        let said = |code: u16| {
            let status = kube::core::Status::failure("no", "").with_code(code);
            Error::api("cannot apply Deployment shop/movies")(kube::Error::Api(Box::new(status))).refusal()
        };
        for code in [400, 403, 422] {
            let expected = "cannot apply Deployment shop/movies, the API server refuses it: no";
            assert_eq!(said(code).as_deref(), Some(expected), "{code}");
        }
        // Gone, changed meanwhile, too many requests, broken: another try may succeed.
        for code in [404, 409, 410, 429, 500, 503] {
            assert_eq!(said(code), None, "{code}");
        }
        assert_eq!(Error::Incomplete("name").refusal(), None);
    }
}

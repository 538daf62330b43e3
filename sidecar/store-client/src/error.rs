//! What can go wrong with a store, told apart by what its reader can do about it.

use std::{error::Error, path::PathBuf};

use object_store::client::{HttpError, HttpErrorKind};

type Source = Box<dyn Error + Send + Sync>;

/// A failed operation on a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The settings cannot work.
    #[error("store configuration: {0}")]
    Config(String),
    /// No answer, or the answer that the store cannot serve now. Trying again later may help.
    #[error(
        "cannot {operation} {key} at {place}: the store does not answer or is overloaded; check that it runs and that its address is right"
    )]
    Unreachable {
        /// Verb.
        operation: &'static str,
        /// Object or prefix.
        key: String,
        /// Address.
        place: String,
        /// The cause.
        source: Source,
    },
    /// The store knows the request, and refuses it.
    #[error(
        "cannot {operation} {key} at {place}: access denied; check the credential, and that it may reach this prefix"
    )]
    Denied {
        /// Verb.
        operation: &'static str,
        /// Object or prefix.
        key: String,
        /// Address.
        place: String,
        /// The cause.
        source: Source,
    },
    /// No such object (or bucket).
    #[error("cannot {operation} {key} at {place}: not found")]
    NotFound {
        /// Verb.
        operation: &'static str,
        /// Object or prefix.
        key: String,
        /// Address.
        place: String,
        /// The cause.
        source: Source,
    },
    /// The object exists and was to be created.
    #[error("cannot {operation} {key} at {place}: it exists already")]
    AlreadyExists {
        /// Verb.
        operation: &'static str,
        /// Object or prefix.
        key: String,
        /// Address.
        place: String,
        /// The cause.
        source: Source,
    },
    /// The object is larger than the reader takes.
    #[error("{key}: {bytes} bytes; expected at most {bytes_max}")]
    TooLarge {
        /// Object.
        key: String,
        /// Its length.
        bytes: u64,
        /// The reader's limit.
        bytes_max: u64,
    },
    /// The bytes are not the ones that the key names.
    #[error("{key}: content hashes to {actual}; the file or the stored object is damaged")]
    Corrupt {
        /// Object.
        key: String,
        /// SHA-256 of what was read.
        actual: String,
    },
    /// A document that this build cannot read.
    #[error("{key}: not a document that this version reads: {message}")]
    Malformed {
        /// Object.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A local file.
    #[error("cannot read or write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Anything else that the store said.
    #[error("cannot {operation} {key} at {place}")]
    Failed {
        /// Verb.
        operation: &'static str,
        /// Object or prefix.
        key: String,
        /// Address.
        place: String,
        /// The cause.
        source: Source,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Config(_)
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::TooLarge { .. }
            | Self::Corrupt { .. }
            | Self::Malformed { .. }
            | Self::File { .. }
            | Self::Failed { .. } => false,
        }
    }

    pub(crate) fn classify(operation: &'static str, key: &str, place: &str, error: object_store::Error) -> Self {
        use object_store::Error as Cause;
        let (key, place) = (key.to_owned(), place.to_owned());
        let unreachable = is_unreachable(&error);
        let refusal = Refusal::of(&error);
        match error {
            Cause::NotFound { source, .. } => Self::NotFound { operation, key, place, source },
            Cause::AlreadyExists { source, .. } | Cause::Precondition { source, .. } => {
                Self::AlreadyExists { operation, key, place, source }
            }
            Cause::PermissionDenied { source, .. } | Cause::Unauthenticated { source, .. } => {
                Self::Denied { operation, key, place, source }
            }
            other if refusal == Some(Refusal::Denied) => {
                Self::Denied { operation, key, place, source: Box::new(other) }
            }
            other if refusal == Some(Refusal::NotFound) => {
                Self::NotFound { operation, key, place, source: Box::new(other) }
            }
            other if unreachable => Self::Unreachable { operation, key, place, source: Box::new(other) },
            other => Self::Failed { operation, key, place, source: Box::new(other) },
        }
    }
}

/// What a server said no with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such bucket or object.
    NotFound,
    /// Wrong credentials, or not allowed.
    Denied,
}

impl Refusal {
    /// What an error stands for. Of listings `object_store` keeps the status in its text only; tests with real servers
    /// notice if that text changes.
    pub fn of(error: &object_store::Error) -> Option<Self> {
        use object_store::Error as Cause;
        match error {
            Cause::NotFound { .. } => Some(Self::NotFound),
            Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => Some(Self::Denied),
            other => {
                let text = other.to_string();
                let status = |code: &str| text.contains(&format!("status code: {code}"));
                if status("404") {
                    Some(Self::NotFound)
                } else {
                    (status("401") || status("403")).then_some(Self::Denied)
                }
            }
        }
    }
}

/// Whether no usable answer came. The type that carries a 5xx status is private to `object_store`, so its text decides;
/// a test on a real socket notices if that text changes.
fn is_unreachable(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(http) = current.downcast_ref::<HttpError>() {
            return matches!(
                http.kind(),
                HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Timeout | HttpErrorKind::Interrupted
            );
        }
        cause = current.source();
    }
    let text = error.to_string();
    text.contains("status code: 5") || text.contains("status code: 429")
}

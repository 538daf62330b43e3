//! Errors of the store, classified by what the caller can do about them.

use std::{error::Error, path::PathBuf};

use object_store::client::{HttpError, HttpErrorKind};

use crate::http_client::Exceeded;

type Source = Box<dyn Error + Send + Sync>;

/// A failed operation on a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configuration is not valid.
    #[error("store configuration: {0}")]
    Config(String),
    /// No response, or a response that the store is unavailable. A later retry may succeed.
    #[error(
        "cannot {operation} {key} at {address}: the store is unreachable or overloaded; check that it runs and that the address is correct"
    )]
    Unreachable {
        /// Operation, as a verb.
        operation: &'static str,
        /// Key or prefix.
        key: String,
        /// Endpoint and URL of the store.
        address: String,
        /// Cause.
        source: Source,
    },
    /// The store denied the request.
    #[error(
        "cannot {operation} {key} at {address}: access denied; check the credentials and their permissions for this prefix"
    )]
    Denied {
        /// Operation, as a verb.
        operation: &'static str,
        /// Key or prefix.
        key: String,
        /// Endpoint and URL of the store.
        address: String,
        /// Cause.
        source: Source,
    },
    /// The object or bucket does not exist.
    #[error("cannot {operation} {key} at {address}: not found")]
    NotFound {
        /// Operation, as a verb.
        operation: &'static str,
        /// Key or prefix.
        key: String,
        /// Endpoint and URL of the store.
        address: String,
        /// Cause.
        source: Source,
    },
    /// The object to create already exists.
    #[error("cannot {operation} {key} at {address}: already exists")]
    AlreadyExists {
        /// Operation, as a verb.
        operation: &'static str,
        /// Key or prefix.
        key: String,
        /// Endpoint and URL of the store.
        address: String,
        /// Cause.
        source: Source,
    },
    /// The store sent more than the bounds of the client permit.
    #[error("cannot {operation} {key} at {address}: {exceeded}; check that the address is that of an object store")]
    Excessive {
        /// Operation, as a verb.
        operation: &'static str,
        /// Key or prefix.
        key: String,
        /// Endpoint and URL of the store.
        address: String,
        /// The bound.
        exceeded: Exceeded,
    },
    /// The store still lists objects after all that it listed were deleted.
    #[error("{prefix} at {address} is not empty after {deleted} deletions; the deletion continues later")]
    NotEmptied {
        /// Prefix.
        prefix: String,
        /// Endpoint and URL of the store.
        address: String,
        /// Number of deletions.
        deleted: u64,
    },
    /// The object exceeds the size limit.
    #[error("{key} has {bytes} bytes; the maximum is {bytes_max}")]
    TooLarge {
        /// Object.
        key: String,
        /// Size of the object.
        bytes: u64,
        /// Size limit.
        bytes_max: u64,
    },
    /// The content does not match the digest in the key.
    #[error("{key}: the SHA-256 of the content is {actual}; the file or the stored object is corrupt")]
    Corrupt {
        /// Object.
        key: String,
        /// SHA-256 of what was read.
        actual: String,
    },
    /// The document cannot be parsed by this version.
    #[error("{key}: this version cannot parse the document: {message}")]
    Malformed {
        /// Object.
        key: String,
        /// Parse error.
        message: String,
    },
    /// A local file cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Any other error response.
    #[error("cannot {operation} {key} at {address}")]
    Failed {
        /// Operation, as a verb.
        operation: &'static str,
        /// Key or prefix.
        key: String,
        /// Endpoint and URL of the store.
        address: String,
        /// Cause.
        source: Source,
    },
}

/// How soon a failed operation may succeed if it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Within seconds or minutes: the store may be reachable again.
    Soon,
    /// Only after someone has changed the configuration, the permissions or the object.
    Rarely,
}

impl StoreError {
    /// Whether a retry may succeed without a configuration change.
    pub fn is_transient(&self) -> bool {
        self.retry() == Retry::Soon
    }

    /// How soon the operation may succeed if it is repeated.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::NotEmptied { .. } => Retry::Soon,
            Self::Config(_)
            | Self::Excessive { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::TooLarge { .. }
            | Self::Corrupt { .. }
            | Self::Malformed { .. }
            | Self::File { .. }
            | Self::Failed { .. } => Retry::Rarely,
        }
    }

    pub(crate) fn classify(operation: &'static str, key: &str, address: &str, error: object_store::Error) -> Self {
        use object_store::Error as Cause;
        let (key, address) = (key.to_owned(), address.to_owned());
        if let Some(exceeded) = Exceeded::among(&error) {
            return Self::Excessive { operation, key, address, exceeded };
        }
        let unreachable = is_unreachable(&error);
        let rejection = Rejection::of(&error);
        match error {
            Cause::NotFound { source, .. } => Self::NotFound { operation, key, address, source },
            Cause::AlreadyExists { source, .. } | Cause::Precondition { source, .. } => {
                Self::AlreadyExists { operation, key, address, source }
            }
            Cause::PermissionDenied { source, .. } | Cause::Unauthenticated { source, .. } => {
                Self::Denied { operation, key, address, source }
            }
            other if rejection == Some(Rejection::Denied) => {
                Self::Denied { operation, key, address, source: Box::new(other) }
            }
            other if rejection == Some(Rejection::NotFound) => {
                Self::NotFound { operation, key, address, source: Box::new(other) }
            }
            other if unreachable => Self::Unreachable { operation, key, address, source: Box::new(other) },
            other => Self::Failed { operation, key, address, source: Box::new(other) },
        }
    }
}

/// Reason for which a server rejected a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The bucket or object does not exist.
    NotFound,
    /// The credentials are wrong or lack the permission.
    Denied,
}

impl Rejection {
    /// Classifies an error. For listings, `object_store` reports the status only in the text of the
    /// error. Tests with real servers fail if that text changes.
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

/// Whether there was no usable response. `object_store` keeps the type with a 5xx status private,
/// so the text is searched. A test on a real socket fails if that text changes.
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

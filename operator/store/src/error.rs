//! Maps errors of the store to S3 errors.

use std::io;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::key_path::KeyError;

/// S3 error of a failed file operation. Errors that the client did not cause are logged here.
pub fn from_io(operation: &'static str, error: &io::Error) -> S3Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => s3_error!(NoSuchKey, "no such object"),
        io::ErrorKind::AlreadyExists => precondition_failed(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            tracing::error!(operation, %error, "the disk is full");
            let mut full = S3Error::with_message(
                S3ErrorCode::Custom("InsufficientStorage".into()),
                "the store's disk is full; enlarge its volume, or lower revisionHistoryLimit",
            );
            full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            full
        }
        _ => {
            tracing::error!(operation, %error, "disk I/O failed");
            s3_error!(InternalError, "cannot {operation}: {error}")
        }
    }
}

/// S3 error of a create-only put of an existing object.
pub fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "the object already exists and cannot be replaced")
}

/// S3 error of an invalid key.
pub fn from_key(error: &KeyError) -> S3Error {
    match error {
        KeyError::Length(0) | KeyError::Character(_) | KeyError::Depth(_) => s3_error!(InvalidArgument, "{error}"),
        KeyError::Length(_) => s3_error!(KeyTooLongError, "{error}"),
    }
}

/// S3 error of a cancelled blocking task. Tasks are cancelled only at shutdown.
pub fn from_join(error: &tokio::task::JoinError) -> S3Error {
    tracing::error!(%error, "a blocking task failed");
    s3_error!(InternalError, "the store is stopping")
}

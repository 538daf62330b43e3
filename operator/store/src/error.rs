//! From what the disk says to what S3's clients understand.

use std::io;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::key_path::KeyError;

/// The answer to a failed file operation; what is the store's own fault is logged here.
pub fn from_io(doing: &'static str, error: &io::Error) -> S3Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => s3_error!(NoSuchKey, "no such object"),
        io::ErrorKind::AlreadyExists => precondition_failed(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            tracing::error!(doing, %error, "the disk is full");
            let mut full = S3Error::with_message(
                S3ErrorCode::Custom("InsufficientStorage".into()),
                "the store's disk is full; enlarge its volume, or lower revisionHistoryLimit",
            );
            full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            full
        }
        _ => {
            tracing::error!(doing, %error, "the disk failed");
            s3_error!(InternalError, "{doing}: {error}")
        }
    }
}

/// The answer when the object was to be created, and is there.
pub fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "the object exists; it is written once and never replaced")
}

/// The answer to an impossible key.
pub fn from_key(error: &KeyError) -> S3Error {
    match error {
        KeyError::Length(0) | KeyError::Character(_) => s3_error!(InvalidArgument, "{error}"),
        KeyError::Length(_) => s3_error!(KeyTooLongError, "{error}"),
    }
}

/// The answer when a blocking task was lost, which happens only when the process ends.
pub fn from_join(error: &tokio::task::JoinError) -> S3Error {
    tracing::error!(%error, "a task was lost");
    s3_error!(InternalError, "the store is stopping")
}

//! Results that Jobs commit to the store. They are immutable, so each is read once and cached.

use std::fmt::Display;

use store_client::StoreError;

use crate::error::chain;

/// Seconds after which results are read again although no Job has ended. Only someone who changes
/// the store by hand could have changed them.
pub(super) const REREAD_SECONDS: i64 = 600;

/// A result that was read; `None` with a warning if it is unreadable, because it must not hide the
/// others.
///
/// # Errors
/// The store cannot be read now.
pub(super) fn if_readable<T>(
    read: Result<T, StoreError>,
    of: &'static str,
    id: &impl Display,
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(result) => Ok(Some(result)),
        Err(
            error @ (StoreError::Malformed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::NotFound { .. }
            | StoreError::Corrupt { .. }),
        ) => {
            tracing::warn!(of, %id, error = chain(&error), "cannot read a result");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

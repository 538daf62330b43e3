//! Checks that the form and the JSON door share.

use sidecar_contract::ServingLimits;

use crate::{api::error::ApiError, limits::ID_BYTES_MAX};

/// An id: not empty, not too long.
///
/// # Errors
/// Names the field.
pub fn check_id(field: &str, id: &str) -> Result<String, ApiError> {
    if id.is_empty() {
        return Err(ApiError::field(field, "empty id"));
    }
    if id.len() > ID_BYTES_MAX {
        return Err(ApiError::field(
            field,
            format!("an id of {} bytes; at most {ID_BYTES_MAX} are accepted", id.len()),
        ));
    }
    Ok(id.to_owned())
}

/// A number of items: 1 to the limit.
///
/// # Errors
/// Names the range.
pub fn parse_n(n: i64, limits: &ServingLimits) -> Result<usize, ApiError> {
    let max = limits.items_per_answer_max;
    usize::try_from(n)
        .ok()
        .filter(|n| (1..=max as usize).contains(n))
        .ok_or_else(|| ApiError::field("n", format!("{n}: expected a whole number from 1 to {max}")))
}

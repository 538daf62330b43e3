//! The header that states how long a client waits for the answer.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use mesh::{TIMEOUT_HEADER, parse_timeout};

use crate::api::error::ApiError;

/// Time for which the client of a request waits, if it states a valid one.
pub fn of(headers: &HeaderMap) -> Option<Duration> {
    parse_timeout(headers.get(TIMEOUT_HEADER)?.as_bytes()).ok()
}

/// Time at which the client of a request stops waiting; `None` if it states none.
///
/// # Errors
/// A header that is not a whole number of milliseconds.
pub fn deadline(headers: &HeaderMap, begin: Instant) -> Result<Option<Instant>, ApiError> {
    let timeout = headers.get(TIMEOUT_HEADER).map(|value| parse_timeout(value.as_bytes())).transpose();
    let timeout = timeout.map_err(|detail| ApiError::new(StatusCode::BAD_REQUEST, "invalid-header", detail))?;
    Ok(timeout.map(|timeout| begin + timeout))
}

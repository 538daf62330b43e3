//! Why parameters are invalid, and the check of ranges.

use thiserror::Error;

/// Why parameters are invalid.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ParamsError {
    /// A parameter is outside its range.
    #[error("{name} is {given}: expected a number from {low} to {high}")]
    OutOfRange {
        /// Parameter name in camelCase, as in the CRD.
        name: &'static str,
        /// Value given.
        given: f64,
        /// Minimum.
        low: f64,
        /// Maximum.
        high: f64,
    },
    /// γλ > 1.
    #[error(
        "learningRate times regularization is {product}: expected at most 1, because a step would flip the sign of the factors; lower one of them"
    )]
    StepTooLarge {
        /// γλ.
        product: f64,
    },
    /// λ = 0 with ratings.
    #[error("regularization is 0: expected a number above 0 for explicit data, for example 0.1")]
    Unregularized,
    /// λ = α₀ = 0.
    #[error(
        "regularization and unobservedWeight are both 0: rows without entries would be undetermined; set one above 0"
    )]
    Undetermined,
}

/// The first parameter that is outside its range is an error: name, value, minimum, maximum. NaN is
/// outside every range.
pub(super) fn check_ranges(ranges: &[(&'static str, f64, f64, f64)]) -> Result<(), ParamsError> {
    for &(name, given, low, high) in ranges {
        if !(low..=high).contains(&given) {
            return Err(ParamsError::OutOfRange { name, given, low, high });
        }
    }
    Ok(())
}

//! The parameters of the two-hop term that algorithms have in common.

use super::{ParamsError, bounds, error::check_ranges};

/// Default of the minimum number of users of an item in the two-hop term: with fewer, a list could
/// repeat the choices of single users.
pub const USERS_PER_ITEM_MIN: u32 = 5;

/// Checks η′, c and the minimum number of users of the two-hop term. Data that has no such term
/// allows 0 only.
pub(super) fn check_two_hop(
    (user_exponent, weight, users_min): (Option<f64>, f64, u32),
    has_term: bool,
) -> Result<(), ParamsError> {
    let of_term = |max: f64| if has_term { max } else { 0.0 };
    let users_max = f64::from(bounds::USERS_PER_ITEM_MIN_MAX);
    check_ranges(&[
        ("userDegreeExponent", user_exponent.unwrap_or_default(), 0.0, of_term(bounds::DEGREE_EXPONENT_MAX)),
        ("coOccurrenceWeight", weight, 0.0, of_term(bounds::CO_OCCURRENCE_WEIGHT_MAX)),
        ("minUsersPerItem", f64::from(users_min), 1.0, users_max),
    ])
}

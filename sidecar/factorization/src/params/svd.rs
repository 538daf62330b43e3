//! Parameters of truncated SVD.

use super::{
    ParamsError, bounds,
    degrees::smoothed_degree_power,
    error::check_ranges,
    two_hop::{USERS_PER_ITEM_MIN, check_two_hop},
};
use crate::two_hop_params::TwoHopParams;

/// Parameters of truncated SVD as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SvdParams {
    /// Length of a factor row: the number of singular values that are kept.
    pub factors: u32,
    /// Maximum number of iterations. The fit stops once an iteration adds no more than 1e-7 to the
    /// explained variance.
    pub iterations: u32,
    /// η: a weight is divided by this power of its item's degree. Must be 0 for ratings.
    pub degree_exponent: f64,
    /// η′: the power of its user's degree; η if `None`. Must be 0 for ratings.
    pub user_degree_exponent: Option<f64>,
    /// c: weight of the two-hop term. 0: no term. Must be 0 for ratings.
    pub co_occurrence_weight: f64,
    /// Items with fewer users take no part in the two-hop term.
    pub users_per_item_min: u32,
    /// Whether values are ratings, whose residuals after the bias baseline are decomposed;
    /// otherwise they are weights.
    pub ratings: bool,
}

impl Default for SvdParams {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 10,
            degree_exponent: 0.0,
            user_degree_exponent: None,
            co_occurrence_weight: 0.0,
            users_per_item_min: USERS_PER_ITEM_MIN,
            ratings: false,
        }
    }
}

impl SvdParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range; NaN is outside every range.
    pub fn check(self) -> Result<ValidSvdParams, ParamsError> {
        let degree_exponent_max = if self.ratings { 0.0 } else { bounds::DEGREE_EXPONENT_MAX };
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("degreeExponent", self.degree_exponent, 0.0, degree_exponent_max),
        ])?;
        check_two_hop((self.user_degree_exponent, self.co_occurrence_weight, self.users_per_item_min), !self.ratings)?;
        Ok(ValidSvdParams(self))
    }
}

/// Checked parameters of truncated SVD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidSvdParams(SvdParams);

impl ValidSvdParams {
    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Maximum number of iterations.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// Whether values are ratings.
    pub fn ratings(&self) -> bool {
        self.0.ratings
    }

    /// (d + 10)^(`factor`·η) for an item with `entries` entries.
    pub(crate) fn degree_power(&self, entries: u32, factor: f64) -> f64 {
        smoothed_degree_power(entries, factor * self.0.degree_exponent)
    }

    /// η of items.
    pub(crate) fn degree_exponent(&self) -> f64 {
        self.0.degree_exponent
    }

    /// η′: that of users.
    pub(crate) fn user_degree_exponent(&self) -> f64 {
        self.0.user_degree_exponent.unwrap_or(self.0.degree_exponent)
    }

    /// Parameters of the two-hop term; `None` without one.
    pub(crate) fn two_hop(&self) -> Option<TwoHopParams> {
        (self.0.co_occurrence_weight > 0.0).then(|| TwoHopParams {
            weight: self.0.co_occurrence_weight,
            item_exponent: self.degree_exponent(),
            user_exponent: self.user_degree_exponent(),
            users_per_item_min: self.0.users_per_item_min,
        })
    }

    /// The same parameters with another weight of the two-hop term, which must be in its range;
    /// `None` for ratings.
    pub(crate) fn with_co_occurrence_weight(self, co_occurrence_weight: f64) -> Option<Self> {
        (!self.0.ratings).then_some(Self(SvdParams { co_occurrence_weight, ..self.0 }))
    }
}

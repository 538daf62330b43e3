//! Parameters of implicit ALS.

use super::{
    AlsSolver, ParamsError, bounds,
    degrees::DEGREE_SMOOTHING,
    error::check_ranges,
    two_hop::{USERS_PER_ITEM_MIN, check_two_hop},
};
use crate::{interactions::CellWeights, two_hop_params::TwoHopParams};

/// Meaning of an observed value. The crate docs give both formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueMeaning {
    /// a = b = w.
    Weight,
    /// a = c − 1, b = c.
    Confidence,
}

/// Parameters of implicit ALS as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlsParams {
    /// Length of a factor row.
    pub factors: u32,
    /// Iterations; each updates all items, then all users.
    pub iterations: u32,
    /// λ.
    pub regularization: f64,
    /// ν.
    pub regularization_exponent: f64,
    /// α₀.
    pub unobserved_weight: f64,
    /// η: how strongly active users and popular items are down-weighted. Must be 0 with
    /// confidences.
    pub degree_exponent: f64,
    /// ρ: how much of the popularity debiasing is undone at ranking time. Must be 0 if η is 0.
    pub popularity_boost: f64,
    /// η′: exponent of user degrees in the two-hop term; η if `None`.
    pub user_degree_exponent: Option<f64>,
    /// c: weight of the two-hop term. 0: no term. Must be 0 with confidences.
    pub co_occurrence_weight: f64,
    /// Items with fewer users take no part in the two-hop term.
    pub users_per_item_min: u32,
    /// Whether values are weights or confidences.
    pub values: ValueMeaning,
    /// How rows are solved.
    pub solver: AlsSolver,
}

impl Default for AlsParams {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 15,
            regularization: 0.003,
            regularization_exponent: 1.0,
            unobserved_weight: 0.1,
            degree_exponent: 0.0,
            popularity_boost: 0.0,
            user_degree_exponent: None,
            co_occurrence_weight: 0.0,
            users_per_item_min: USERS_PER_ITEM_MIN,
            values: ValueMeaning::Weight,
            solver: AlsSolver::ConjugateGradient { steps: 2 },
        }
    }
}

impl AlsParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range; NaN is outside every range.
    pub fn check(self) -> Result<ValidAlsParams, ParamsError> {
        let degree_exponent_max = match self.values {
            ValueMeaning::Weight => bounds::DEGREE_EXPONENT_MAX,
            ValueMeaning::Confidence => 0.0,
        };
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("regularization", self.regularization, 0.0, bounds::REGULARIZATION_MAX),
            ("regularizationExponent", self.regularization_exponent, 0.0, bounds::REGULARIZATION_EXPONENT_MAX),
            ("unobservedWeight", self.unobserved_weight, 0.0, bounds::UNOBSERVED_WEIGHT_MAX),
            ("degreeExponent", self.degree_exponent, 0.0, degree_exponent_max),
        ])?;
        check_two_hop(
            (self.user_degree_exponent, self.co_occurrence_weight, self.users_per_item_min),
            self.values == ValueMeaning::Weight,
        )?;
        self.solver.check()?;
        let boost_max = if self.degree_exponent > 0.0 { bounds::POPULARITY_BOOST_MAX } else { 0.0 };
        check_ranges(&[("popularityBoost", self.popularity_boost, 0.0, boost_max)])?;
        if self.regularization <= 0.0 && self.unobserved_weight <= 0.0 {
            return Err(ParamsError::Undetermined);
        }
        Ok(ValidAlsParams(self, AlsSolver::Cholesky))
    }
}

/// Checked parameters of implicit ALS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidAlsParams(
    AlsParams,
    /// How the users of the last iteration are solved.
    AlsSolver,
);

impl ValidAlsParams {
    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Number of iterations.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// α₀.
    pub fn unobserved_weight(&self) -> f64 {
        self.0.unobserved_weight
    }

    /// Whether weights are degree-weighted.
    pub(crate) fn has_degrees(&self) -> bool {
        self.0.degree_exponent > 0.0
    }

    /// (1 + d/10)^−η: degree weight of a row or column with d = `likes`.
    pub(crate) fn degree_weight(&self, likes: u32) -> f64 {
        libm::pow(1.0 + f64::from(likes) / DEGREE_SMOOTHING, -self.0.degree_exponent)
    }

    /// Whether the popularity boost is applied to served items.
    pub(crate) fn has_popularity_boost(&self) -> bool {
        self.has_degrees() && self.0.popularity_boost > 0.0
    }

    /// (1 + d/10)^−ηρ: factor that turns a served item row back into the fitted one.
    pub(crate) fn inverse_popularity_boost(&self, likes: u32) -> f32 {
        let exponent = -self.0.degree_exponent * self.0.popularity_boost;
        #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; from 1e-9 to 1")]
        let inverse = libm::pow(1.0 + f64::from(likes) / DEGREE_SMOOTHING, exponent) as f32;
        inverse
    }

    /// Parameters of the two-hop term; `None` without one.
    pub(crate) fn two_hop(&self) -> Option<TwoHopParams> {
        (self.0.co_occurrence_weight > 0.0).then(|| TwoHopParams {
            weight: self.0.co_occurrence_weight,
            item_exponent: self.0.degree_exponent,
            user_exponent: self.0.user_degree_exponent.unwrap_or(self.0.degree_exponent),
            users_per_item_min: self.0.users_per_item_min,
        })
    }

    /// The same parameters with another weight of the two-hop term, which must be in its range;
    /// `None` for confidences.
    pub(crate) fn with_co_occurrence_weight(self, co_occurrence_weight: f64) -> Option<Self> {
        (self.0.values == ValueMeaning::Weight).then_some(Self(AlsParams { co_occurrence_weight, ..self.0 }, self.1))
    }

    /// The same parameters with at most this number of iterations, which is at least 1, and with all
    /// users solved as while training.
    pub(crate) fn for_choice(self, iterations_max: u32) -> Self {
        Self(AlsParams { iterations: self.0.iterations.min(iterations_max), ..self.0 }, self.0.solver)
    }

    /// How the users of the last iteration are solved.
    pub(crate) fn last_solver(&self) -> AlsSolver {
        self.1
    }

    /// How rows are solved while training.
    pub fn solver(&self) -> AlsSolver {
        self.0.solver
    }

    /// Weights of the objective terms of a cell with this value.
    #[inline(always)]
    pub(crate) fn cell_weights(&self, value: f32) -> CellWeights {
        match self.0.values {
            ValueMeaning::Weight => CellWeights::from_weight(value),
            ValueMeaning::Confidence => CellWeights::from_confidence(value),
        }
    }

    /// λ (n + α₀N)^ν: regularization of a row with `entries` of `length` cells.
    pub fn row_regularization(&self, entries: usize, length: usize) -> f64 {
        let total_weight = entries as f64 + self.0.unobserved_weight * length as f64;
        // libm instead of std: the same bits on every platform.
        self.0.regularization * libm::pow(total_weight, self.0.regularization_exponent)
    }
}

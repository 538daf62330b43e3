//! Parameters as given and as checked. The fit functions accept only checked ones.
//!
//! | name | default | range | meaning |
//! |---|---|---|---|
//! | `factors` | 64 | 1..=1024 | length of a row |
//! | `iterations` | 15 | 1..=1000 | iterations; each updates all items, then all users |
//! | `regularization` | 0.003 | 0..=1e6 | λ |
//! | `regularization_exponent` | 1 | 0..=2 | ν |
//! | `unobserved_weight` | 0.1 | 0..=1e4 | α₀ |
//! | `degree_exponent` | 0 | 0..=1 | η |
//! | `popularity_boost` | 0 | 0..=1 | ρ; 0 without η |
//! | `user_degree_exponent` | η | 0..=1 | η′ of the two-hop term |
//! | `co_occurrence_weight` | 0 | 0..=10,000 | c; 0: no two-hop term |
//! | `users_per_item_min` | 5 | 1..=1000 | users of an item in that term |
//!
//! The defaults are those of Rendle et al. for MovieLens-20M; [`fn@crate::default_regularization`]
//! computes λ for other data. λ and α₀ must not both be 0: a row without entries would be
//! undetermined.
//!
//! Truncated SVD has factors, iterations (maximum, 10 by default; the fit stops once an iteration
//! adds no more than 1e-7 to the explained variance), η (0..=1, 0 by default: weights unchanged),
//! and η′, c and the minimum number of users as above.
//!
//! Bayesian personalized ranking has factors, iterations (100 by default), γ (0.05; 1e-6..=10) and
//! λ (0.003); γλ must not exceed 1.
//!
//! Explicit ALS has no α₀ but has `samples` (0..=1000, 0 by default: none). Its λ is 0.1 by default
//! and must be above 0. λ is relative to the standard deviation of the ratings: the same value fits
//! stars and percentages.

use thiserror::Error;

use crate::{interactions::CellWeights, pairs::StepSize, ratings::RatingScale, two_hop_params::TwoHopParams};

/// Added to every degree, so that a single entry of a rare item does not weigh as much as all
/// entries of a popular one. ADR 14 has the figures.
const DEGREE_SMOOTHING: f64 = 10.0;

/// Default of the minimum number of users of an item in the two-hop term: with fewer, a list could
/// repeat the choices of single users.
pub const USERS_PER_ITEM_MIN: u32 = 5;

/// Bounds of the parameters; the CRD schema repeats them.
pub mod bounds {
    /// Maximum number of factors.
    pub const FACTORS_MAX: u32 = 1024;
    /// Maximum number of iterations.
    pub const ITERATIONS_MAX: u32 = 1000;
    /// Maximum number of conjugate gradient steps.
    pub const STEPS_MAX: u32 = 100;
    /// Maximum number of samples.
    pub const SAMPLES_MAX: u32 = 1000;
    /// Maximum λ.
    pub const REGULARIZATION_MAX: f64 = 1e6;
    /// Maximum ν.
    pub const REGULARIZATION_EXPONENT_MAX: f64 = 2.0;
    /// Maximum η and η′.
    pub const DEGREE_EXPONENT_MAX: f64 = 1.0;
    /// Maximum weight of the two-hop term. With more the factors have no influence.
    pub const CO_OCCURRENCE_WEIGHT_MAX: f64 = 1e4;
    /// Maximum of the minimum number of users of an item in the two-hop term.
    pub const USERS_PER_ITEM_MIN_MAX: u32 = 1000;
    /// Minimum γ.
    pub const LEARNING_RATE_MIN: f64 = 1e-6;
    /// Maximum γ.
    pub const LEARNING_RATE_MAX: f64 = 10.0;
    /// Maximum ρ.
    pub const POPULARITY_BOOST_MAX: f64 = 1.0;
    /// Maximum α₀.
    pub const UNOBSERVED_WEIGHT_MAX: f64 = 1e4;
}

/// How ALS solves rows while training. Both solvers solve the users of the last iteration exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlsSolver {
    /// A fixed number of conjugate gradient steps from the current row; see `conjugate_gradient`.
    ConjugateGradient {
        /// Number of steps; the minimum is 1.
        steps: u32,
    },
    /// Exact solution, the reference.
    Cholesky,
}

impl AlsSolver {
    fn check(self) -> Result<(), ParamsError> {
        match self {
            Self::ConjugateGradient { steps } => {
                check_ranges(&[("steps", f64::from(steps), 1.0, f64::from(bounds::STEPS_MAX))])
            }
            Self::Cholesky => Ok(()),
        }
    }
}

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

/// Parameters of explicit ALS as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplicitAlsParams {
    /// Length of a factor row.
    pub factors: u32,
    /// Iterations; each updates all items, then all users.
    pub iterations: u32,
    /// λ.
    pub regularization: f64,
    /// ν.
    pub regularization_exponent: f64,
    /// How rows are solved.
    pub solver: AlsSolver,
    /// Gibbs samples drawn after the last iteration, whose posterior mean is served; 0 for plain
    /// ALS.
    pub samples: u32,
}

impl Default for ExplicitAlsParams {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 15,
            regularization: 0.1,
            regularization_exponent: 1.0,
            solver: AlsSolver::ConjugateGradient { steps: 2 },
            samples: 0,
        }
    }
}

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

/// Parameters of Bayesian personalized ranking as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BprParams {
    /// Length of a factor row.
    pub factors: u32,
    /// Iterations; each takes one step per entry.
    pub iterations: u32,
    /// γ: learning rate.
    pub learning_rate: f64,
    /// λ.
    pub regularization: f64,
}

impl Default for BprParams {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}

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

/// Checked parameters of implicit ALS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidAlsParams(
    AlsParams,
    /// How the users of the last iteration are solved.
    AlsSolver,
);

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

impl ExplicitAlsParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range; NaN is outside every range.
    pub fn check(self) -> Result<ValidExplicitAlsParams, ParamsError> {
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("regularization", self.regularization, 0.0, bounds::REGULARIZATION_MAX),
            ("regularizationExponent", self.regularization_exponent, 0.0, bounds::REGULARIZATION_EXPONENT_MAX),
            ("samples", f64::from(self.samples), 0.0, f64::from(bounds::SAMPLES_MAX)),
        ])?;
        self.solver.check()?;
        if self.regularization <= 0.0 {
            return Err(ParamsError::Unregularized);
        }
        Ok(ValidExplicitAlsParams(self))
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

impl BprParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range, or γλ > 1.
    pub fn check(self) -> Result<ValidBprParams, ParamsError> {
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("learningRate", self.learning_rate, bounds::LEARNING_RATE_MIN, bounds::LEARNING_RATE_MAX),
            ("regularization", self.regularization, 0.0, bounds::REGULARIZATION_MAX),
        ])?;
        let product = self.learning_rate * self.regularization;
        if product > 1.0 {
            return Err(ParamsError::StepTooLarge { product });
        }
        Ok(ValidBprParams(self))
    }
}

/// Checked parameters of Bayesian personalized ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidBprParams(BprParams);

impl ValidBprParams {
    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Number of iterations.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// γ and 1 − γλ.
    pub(crate) fn step_size(&self) -> StepSize {
        let BprParams { learning_rate, regularization, .. } = self.0;
        #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
        StepSize { learning_rate: learning_rate as f32, decay: (1.0 - learning_rate * regularization) as f32 }
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

/// Checks η′, c and the minimum number of users of the two-hop term. Data that has no such term
/// allows 0 only.
fn check_two_hop(
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

/// (d + 10)^`exponent` for a degree d.
pub(crate) fn smoothed_degree_power(degree: u32, exponent: f64) -> f64 {
    libm::pow(f64::from(degree) + DEGREE_SMOOTHING, exponent)
}

fn check_ranges(ranges: &[(&'static str, f64, f64, f64)]) -> Result<(), ParamsError> {
    for &(name, given, low, high) in ranges {
        if !(low..=high).contains(&given) {
            return Err(ParamsError::OutOfRange { name, given, low, high });
        }
    }
    Ok(())
}

/// Checked parameters of explicit ALS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidExplicitAlsParams(ExplicitAlsParams);

impl ValidExplicitAlsParams {
    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Number of iterations.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// How rows are solved while training.
    pub fn solver(&self) -> AlsSolver {
        self.0.solver
    }

    /// Number of Gibbs samples; 0 for none.
    pub fn samples(&self) -> u32 {
        self.0.samples
    }

    /// λσ n^ν: regularization of the factors of a row with `entries` ratings.
    pub fn factor_regularization(&self, entries: usize, scale: &RatingScale) -> f64 {
        let power = libm::pow(entries as f64, self.0.regularization_exponent);
        self.0.regularization * f64::from(scale.deviation) * power
    }
}

/// Checked parameters of a model of any algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValidParams {
    /// Implicit ALS.
    Als(ValidAlsParams),
    /// Explicit ALS.
    ExplicitAls(ValidExplicitAlsParams),
    /// Truncated SVD, of weights or of ratings.
    Svd(ValidSvdParams),
    /// Bayesian personalized ranking.
    Bpr(ValidBprParams),
}

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

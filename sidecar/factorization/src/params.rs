//! Parameters as given, and parameters as checked: only the checked ones fit.
//!
//! | name | default | range | meaning |
//! |---|---|---|---|
//! | `factors` | 64 | 1..=1024 | length of a row |
//! | `iterations` | 15 | 1..=1000 | sweeps over users and items |
//! | `regularization` | 0.003 | 0..=1e6 | λ |
//! | `regularization_exponent` | 1 | 0..=2 | ν |
//! | `unobserved_weight` | 0.1 | 0..=1e4 | α₀ |
//! | `degree_exponent` | 0 | 0..=1 | η |
//! | `degree_return` | 0 | 0..=1 | ρ; 0 without η |
//!
//! The defaults are Rendle et al.'s for MovieLens-20M; [`crate::usual`] has a λ for other data. λ and α₀ may not both be 0: a row without entries would be free.
//!
//! Truncated SVD has factors, iterations (at most so many, 10 by default; it ends once a sweep adds no more than 1e-7 to what the factors explain) and η (0..=1, by default 0: weights as they are).
//!
//! Bayesian personalized ranking has factors, iterations (100 by default), γ (0.05; 1e-6..=10) and λ (0.003); γλ is at most 1.
//!
//! Explicit ALS has no α₀ but `samples` (0..=1000, by default 0: none); its λ is 0.1 by default and must be above 0. It is relative to the ratings' spread, so that it
//! means the same for stars and for percent.

use thiserror::Error;

use crate::{degrees::DEGREE_SMOOTHING, interactions::Evidence, pairs::Pace, ratings::RatingScale};

/// Bounds, which the resource's schema repeats.
pub mod bounds {
    /// Most factors.
    pub const FACTORS_MAX: u32 = 1024;
    /// Most sweeps.
    pub const ITERATIONS_MAX: u32 = 1000;
    /// Most steps of conjugate gradients.
    pub const STEPS_MAX: u32 = 100;
    /// Most samples.
    pub const SAMPLES_MAX: u32 = 1000;
    /// Largest λ.
    pub const REGULARIZATION_MAX: f64 = 1e6;
    /// Largest ν.
    pub const REGULARIZATION_EXPONENT_MAX: f64 = 2.0;
    /// Largest η.
    pub const DEGREE_EXPONENT_MAX: f64 = 1.0;
    /// Least γ of BPR.
    pub const LEARNING_RATE_MIN: f64 = 1e-6;
    /// Largest γ of BPR.
    pub const LEARNING_RATE_MAX: f64 = 10.0;
    /// Largest ρ.
    pub const DEGREE_RETURN_MAX: f64 = 1.0;
    /// Largest α₀.
    pub const UNOBSERVED_WEIGHT_MAX: f64 = 1e4;
}

/// How ALS solves its rows while it trains. Users of the last sweep are solved exactly by either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlsSolver {
    /// By so many steps of conjugate gradients from where the row stood; see `descent`.
    ConjugateGradient {
        /// From 1.
        steps: u32,
    },
    /// Exactly: the reference.
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

/// What an observed value says; the crate's page states both.
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
    /// Length of a row.
    pub factors: u32,
    /// Sweeps over users and items.
    pub iterations: u32,
    /// λ.
    pub regularization: f64,
    /// ν.
    pub regularization_exponent: f64,
    /// α₀.
    pub unobserved_weight: f64,
    /// η: how much less busy users and popular items count. 0 with confidences.
    pub degree_exponent: f64,
    /// ρ: how much of it popular items have back in lists. 0 where η is.
    pub degree_return: f64,
    /// Weights or confidences.
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
            degree_return: 0.0,
            values: ValueMeaning::Weight,
            solver: AlsSolver::ConjugateGradient { steps: 2 },
        }
    }
}

/// Parameters of explicit ALS as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplicitAlsParams {
    /// Length of a row.
    pub factors: u32,
    /// Sweeps over users and items.
    pub iterations: u32,
    /// λ.
    pub regularization: f64,
    /// ν.
    pub regularization_exponent: f64,
    /// How rows are solved.
    pub solver: AlsSolver,
    /// Samples that are drawn from where the sweeps end, and whose mean is served; 0 for ALS alone.
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
    /// Length of a row: singular values that are kept.
    pub factors: u32,
    /// Most sweeps; it ends once one adds no more than 1e-7 to what the factors explain.
    pub iterations: u32,
    /// η: by which power of its user's and of its item's degree a weight is divided. 0 for ratings.
    pub degree_exponent: f64,
}

impl Default for SvdParams {
    fn default() -> Self {
        Self { factors: 64, iterations: 10, degree_exponent: 0.0 }
    }
}

/// Parameters of Bayesian personalized ranking as given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BprParams {
    /// Length of a row.
    pub factors: u32,
    /// Sweeps: each has as many steps as there are entries.
    pub iterations: u32,
    /// γ: length of a step.
    pub learning_rate: f64,
    /// λ.
    pub regularization: f64,
}

impl Default for BprParams {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}

/// A parameter outside its range.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ParamsError {
    /// Names the parameter, what was given and what is allowed.
    #[error("{name} is {given}: expected a number from {low} to {high}")]
    OutOfRange {
        /// As in [`AlsParams`].
        name: &'static str,
        /// What was given.
        given: f64,
        /// Smallest allowed.
        low: f64,
        /// Largest allowed.
        high: f64,
    },
    /// γλ > 1.
    #[error(
        "learningRate times regularization is {product}: expected at most 1, because a step would turn factors round; lower one of them"
    )]
    TurnsRound {
        /// Of those given.
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

/// Checked parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidAlsParams(AlsParams);

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
        self.solver.check()?;
        let return_max = if self.degree_exponent > 0.0 { bounds::DEGREE_RETURN_MAX } else { 0.0 };
        check_ranges(&[("degreeReturn", self.degree_return, 0.0, return_max)])?;
        if self.regularization <= 0.0 && self.unobserved_weight <= 0.0 {
            return Err(ParamsError::Undetermined);
        }
        Ok(ValidAlsParams(self))
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
    /// The first parameter outside its range.
    pub fn check(self) -> Result<ValidSvdParams, ParamsError> {
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("degreeExponent", self.degree_exponent, 0.0, bounds::DEGREE_EXPONENT_MAX),
        ])?;
        Ok(ValidSvdParams(self))
    }
}

impl BprParams {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first parameter outside its range, or steps that turn factors round.
    pub fn check(self) -> Result<ValidBprParams, ParamsError> {
        check_ranges(&[
            ("factors", f64::from(self.factors), 1.0, f64::from(bounds::FACTORS_MAX)),
            ("iterations", f64::from(self.iterations), 1.0, f64::from(bounds::ITERATIONS_MAX)),
            ("learningRate", self.learning_rate, bounds::LEARNING_RATE_MIN, bounds::LEARNING_RATE_MAX),
            ("regularization", self.regularization, 0.0, bounds::REGULARIZATION_MAX),
        ])?;
        let product = self.learning_rate * self.regularization;
        if product > 1.0 {
            return Err(ParamsError::TurnsRound { product });
        }
        Ok(ValidBprParams(self))
    }
}

/// Checked parameters of Bayesian personalized ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidBprParams(BprParams);

impl ValidBprParams {
    /// Length of a row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Sweeps.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// γ and 1 − γλ.
    pub(crate) fn pace(&self) -> Pace {
        let BprParams { learning_rate, regularization, .. } = self.0;
        #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
        Pace { rate: learning_rate as f32, keep: (1.0 - learning_rate * regularization) as f32 }
    }
}

/// Checked parameters of truncated SVD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidSvdParams(SvdParams);

impl ValidSvdParams {
    /// Length of a row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Most sweeps.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// d^(`by`·η) of a row or column with so many entries.
    pub(crate) fn degree_power(&self, entries: u32, by: f64) -> f64 {
        libm::pow(f64::from(entries) + DEGREE_SMOOTHING, by * self.0.degree_exponent)
    }
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
    /// Length of a row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Sweeps.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// How rows are solved while training.
    pub fn solver(&self) -> AlsSolver {
        self.0.solver
    }

    /// Samples; 0 for none.
    pub fn samples(&self) -> u32 {
        self.0.samples
    }

    /// λσ n^ν for the factors of a row with `entries` ratings.
    pub fn factor_regularization(&self, entries: usize, scale: &RatingScale) -> f64 {
        let power = libm::pow(entries as f64, self.0.regularization_exponent);
        self.0.regularization * f64::from(scale.deviation) * power
    }
}

/// What a model was fitted with, whatever it is.
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

impl ValidParams {
    /// Length of a row.
    pub fn factors(&self) -> usize {
        match self {
            Self::Als(params) => params.factors(),
            Self::ExplicitAls(params) => params.factors(),
            Self::Svd(params) => params.factors(),
            Self::Bpr(params) => params.factors(),
        }
    }
}

impl ValidAlsParams {
    /// Length of a row.
    pub fn factors(&self) -> usize {
        self.0.factors as usize
    }

    /// Sweeps.
    pub fn iterations(&self) -> u32 {
        self.0.iterations
    }

    /// α₀.
    pub fn unobserved_weight(&self) -> f64 {
        self.0.unobserved_weight
    }

    /// Whether weights depend on degrees.
    pub(crate) fn has_degrees(&self) -> bool {
        self.0.degree_exponent > 0.0
    }

    /// (1 + d/10)^−η: what is left of a weight beside a row or column with so many likes.
    pub(crate) fn degree_share(&self, likes: u32) -> f64 {
        libm::pow(1.0 + f64::from(likes) / DEGREE_SMOOTHING, -self.0.degree_exponent)
    }

    /// Whether items are served with something of their popularity given back.
    pub(crate) fn has_return(&self) -> bool {
        self.has_degrees() && self.0.degree_return > 0.0
    }

    /// (1 + d/10)^−ηρ: what a served item's factors are multiplied by to be those that were fitted.
    pub(crate) fn degree_taken(&self, likes: u32) -> f32 {
        let exponent = -self.0.degree_exponent * self.0.degree_return;
        #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; from 1e-9 to 1")]
        let taken = libm::pow(1.0 + f64::from(likes) / DEGREE_SMOOTHING, exponent) as f32;
        taken
    }

    /// How rows are solved while training.
    pub fn solver(&self) -> AlsSolver {
        self.0.solver
    }

    /// What a cell with this value adds to the objective.
    #[inline(always)]
    pub(crate) fn evidence(&self, value: f32) -> Evidence {
        match self.0.values {
            ValueMeaning::Weight => Evidence::of(value),
            ValueMeaning::Confidence => Evidence::of_confidence(value),
        }
    }

    /// λ (n + α₀N)^ν for a row with `entries` of `length` cells.
    pub fn row_regularization(&self, entries: usize, length: usize) -> f64 {
        let evidence = entries as f64 + self.0.unobserved_weight * length as f64;
        // libm, not std: the same bits on every platform.
        self.0.regularization * libm::pow(evidence, self.0.regularization_exponent)
    }
}

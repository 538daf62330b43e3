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

mod als;
mod als_solver;
pub mod bounds;
mod bpr;
mod degrees;
mod error;
mod explicit_als;
mod svd;
mod two_hop;

pub(crate) use self::degrees::smoothed_degree_power;
pub use self::{
    als::{AlsParams, ValidAlsParams, ValueMeaning},
    als_solver::AlsSolver,
    bpr::{BprParams, ValidBprParams},
    error::ParamsError,
    explicit_als::{ExplicitAlsParams, ValidExplicitAlsParams},
    svd::{SvdParams, ValidSvdParams},
    two_hop::USERS_PER_ITEM_MIN,
};

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

//! Fold-in: from the history of a user to the row that the fit would give the user. Every
//! algorithm has its own.

use std::fmt::Debug;

use ndarray::ArrayView2;

use crate::{
    degrees::Degrees, gram_view::GramView, influence::Influence, ratings::RatingScale, row_solver::SolveError,
    two_hop::History,
};

/// Representation of a user in a model: a row of factors, and a bias in models of ratings
/// (otherwise 0).
#[derive(Clone, Debug, PartialEq)]
pub struct UserVector {
    /// One value per factor.
    pub factors: Vec<f32>,
    /// Bias in units of the rating.
    pub bias: f32,
    /// The history, in a model with a two-hop term.
    pub history: Option<History>,
}

impl UserVector {
    /// A vector without a two-hop term.
    pub fn new(factors: Vec<f32>, bias: f32) -> Self {
        Self { factors, bias, history: None }
    }

    /// Whether it is 0. It then carries no preferences: items would be ranked by their biases or
    /// arbitrarily.
    pub fn is_empty(&self) -> bool {
        self.bias == 0.0 && self.factors.iter().all(|factor| *factor == 0.0)
    }
}

/// Borrowed parts of a model that a fold-in may need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// items × factors, in standard layout.
    pub(crate) items: ArrayView2<'a, f32>,
    pub(crate) gram: GramView<'a>,
    pub(crate) degrees: Degrees<'a>,
    /// Scale and biases of a model of ratings.
    pub(crate) ratings: Option<Ratings<'a>>,
}

/// Scale and biases of a model of ratings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratings<'a> {
    pub(crate) scale: RatingScale,
    pub(crate) users: &'a [f32],
    pub(crate) items: &'a [f32],
}

impl Ratings<'_> {
    /// Rating of an item by a user without a history: the mean plus the item's bias.
    pub(crate) fn baseline(&self, item: u32) -> f64 {
        f64::from(self.scale.mean) + f64::from(self.items[item as usize])
    }

    /// Ratings minus the [baseline](Self::baseline) of their items.
    pub(crate) fn residuals(&self, items: &[u32], values: &[f32]) -> Vec<f64> {
        items.iter().zip(values).map(|(&item, &rating)| f64::from(rating) - self.baseline(item)).collect()
    }
}

/// Fold-in into a model. Histories must be valid: items ascending, each once and in range, and one
/// finite value for each.
pub(crate) trait FoldIn: Debug + Send + Sync {
    /// The user vector of a history, computed as by the fit.
    ///
    /// # Errors
    /// The equations cannot be solved.
    fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<UserVector, SolveError>;

    /// How the entries of a history determine scores; `None` if scores are not sums over a history.
    ///
    /// # Errors
    /// Those of [`Self::fold_in`].
    fn influence(&self, items: &[u32], values: &[f32]) -> Result<Option<Influence>, SolveError>;

    /// Treats the last items as cold-start items: they do not change the vectors of users without
    /// them in the history.
    fn exclude_cold_items(&mut self, _items: usize) {}
}

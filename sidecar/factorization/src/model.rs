//! What a fit gives: two factor matrices and what folding in needs. Immutable.

use ndarray::Array2;

use crate::{params::ValidParams, ratings::RatingScale, row_solver::SolveError, scorer::Scorer, top_k::Scored};

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// users × factors.
    pub user_factors: Array2<f32>,
    /// items × factors.
    pub item_factors: Array2<f32>,
    /// factors × factors: VᵀV of the item factors.
    pub gram: Array2<f64>,
    /// Scale and biases of a model of ratings.
    pub ratings: Option<RatingBiases>,
    /// What it was fitted with.
    pub params: ValidParams,
}

/// What a model of ratings has besides factors.
#[derive(Clone, Debug, PartialEq)]
pub struct RatingBiases {
    /// Of the ratings.
    pub scale: RatingScale,
    /// By user.
    pub users: Vec<f32>,
    /// By item.
    pub items: Vec<f32>,
}

impl Model {
    /// What answers from it.
    ///
    /// # Errors
    /// Parts that do not belong together, which no fit gives.
    pub fn scorer(&self) -> Result<Scorer<'_>, SolveError> {
        let ratings = self.ratings.as_ref().map(|r| (r.scale, r.users.as_slice(), r.items.as_slice()));
        Scorer::new(self.user_factors.view(), self.item_factors.view(), self.gram.view(), ratings, &self.params)
    }

    /// The factors of a user with this history (items ascending, each once).
    ///
    /// # Errors
    /// As [`Scorer::fold_in`].
    pub fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<Vec<f32>, SolveError> {
        Ok(self.scorer()?.fold_in(items, values)?.factors)
    }

    /// The `n` best items of a stored user, without `exclude` (ascending).
    pub fn recommend(&self, user: u32, n: usize, exclude: &[u32]) -> Vec<Scored> {
        let Ok(scorer) = self.scorer() else { return Vec::new() };
        let keep = |item: u32| exclude.binary_search(&item).is_err();
        scorer.stored(user).map_or_else(Vec::new, |taste| scorer.best(&taste, n, keep))
    }
}

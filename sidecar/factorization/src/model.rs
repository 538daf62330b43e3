//! What a fit gives: two factor matrices and what folding in needs. Immutable.

use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

use crate::{
    degrees::Degrees,
    interactions::Interactions,
    params::ValidParams,
    ratings::RatingScale,
    row_solver::SolveError,
    scorer::{Scorer, Taste},
    top_k::Scored,
};

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// users × factors.
    pub user_factors: Array2<f32>,
    /// items × factors.
    pub item_factors: Array2<f32>,
    /// factors × factors: VᵀV of the item factors; of SVD, Σ².
    pub gram: Array2<f64>,
    /// How many users chose each item, where folding in needs it: for SVD of weights, and for ALS with a degree exponent.
    /// Else empty.
    pub item_counts: Vec<u32>,
    /// Mean share of the weights that were fitted, for ALS with a degree exponent.
    pub mean_share: Option<f64>,
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
        let parts = (self.user_factors.view(), self.item_factors.view(), self.gram.view());
        let degrees = Degrees { item_counts: &self.item_counts, mean_share: self.mean_share };
        Scorer::new(parts, degrees, ratings, &self.params)
    }

    /// The factors of a user with this history (items ascending, each once).
    ///
    /// # Errors
    /// As [`Scorer::fold_in`].
    pub fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<Vec<f32>, SolveError> {
        Ok(self.scorer()?.fold_in(items, values)?.factors)
    }

    /// The same items with the tastes of the users that have entries in `histories`, whom the fit has not seen, folded in; all others
    /// stay. Runs on the ambient rayon pool.
    ///
    /// # Errors
    /// As [`Scorer::fold_in`].
    pub fn with_users(mut self, histories: &Interactions) -> Result<Self, SolveError> {
        let scorer = self.scorer()?;
        let users: Vec<usize> = (0..histories.users()).filter(|user| !histories.row(*user).0.is_empty()).collect();
        let fold_in = |user: &usize| scorer.fold_in(histories.row(*user).0, histories.row(*user).1);
        let tastes: Vec<Taste> = users.par_iter().map(fold_in).collect::<Result<_, _>>()?;
        for (user, taste) in users.into_iter().zip(tastes) {
            self.user_factors.row_mut(user).assign(&ArrayView1::from(&taste.factors));
            if let Some(ratings) = &mut self.ratings {
                ratings.users[user] = taste.bias;
            }
        }
        Ok(self)
    }

    /// The `n` best items of a stored user, without `exclude` (ascending).
    pub fn recommend(&self, user: u32, n: usize, exclude: &[u32]) -> Vec<Scored> {
        self.recommend_each(&[user], n, |_| exclude).pop().unwrap_or_default()
    }

    /// [`Self::recommend`] for each of the users, equal to it and quicker; `exclude` gives a user's items (ascending). Users that are
    /// not stored get nothing.
    pub fn recommend_each<'a>(&self, users: &[u32], n: usize, exclude: impl Fn(u32) -> &'a [u32]) -> Vec<Vec<Scored>> {
        let mut lists = vec![Vec::new(); users.len()];
        let Ok(scorer) = self.scorer() else { return lists };
        let stored = |(place, user): (usize, &u32)| Some((scorer.stored(*user)?, (place, exclude(*user))));
        let (tastes, of): (Vec<_>, Vec<_>) = users.iter().enumerate().filter_map(stored).unzip();
        let keep = |number: usize, item: u32| of[number].1.binary_search(&item).is_err();
        for (list, (place, _)) in scorer.best_of_each(&tastes, n, keep).into_iter().zip(&of) {
            lists[*place] = list;
        }
        lists
    }
}

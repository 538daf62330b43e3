//! User vectors and recommendations of a model in memory.

use ndarray::ArrayView1;
use rayon::prelude::*;

use crate::{
    degrees::Degrees,
    fold_in::UserVector,
    interactions::Interactions,
    model::Model,
    row_solver::SolveError,
    scorer::Scorer,
    top_k::{ItemCodes, Places, Scored},
    two_hop::TwoHopModel,
};

impl Model {
    /// A scorer that borrows this model.
    ///
    /// # Errors
    /// The parts of the model do not match; this does not happen to a fitted model.
    pub fn scorer(&self) -> Result<Scorer<'_>, SolveError> {
        let ratings = self.ratings.as_ref().map(|r| (r.scale, r.users.as_slice(), r.items.as_slice()));
        let parts = (self.user_factors.view(), self.item_factors.view(), self.gram.view().into());
        let degrees = Degrees { item_counts: &self.item_counts, mean_degree_weight: self.mean_degree_weight };
        Ok(Scorer::new(parts, degrees, ratings, &self.params)?
            .with_two_hop(self.two_hop.as_ref().map(TwoHopModel::view)))
    }

    /// The factors of a user with this history (items ascending, each once).
    ///
    /// # Errors
    /// Those of [`Scorer::fold_in`].
    pub fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<Vec<f32>, SolveError> {
        Ok(self.scorer()?.fold_in(items, values)?.factors)
    }

    /// Folds in the users that have entries in `histories` and were not part of the fit. Items and
    /// all other users stay. Runs on the ambient rayon pool.
    ///
    /// # Errors
    /// Those of [`Scorer::fold_in`].
    pub fn with_users(mut self, histories: &Interactions) -> Result<Self, SolveError> {
        let scorer = self.scorer()?;
        let users: Vec<usize> = (0..histories.users()).filter(|user| !histories.row(*user).0.is_empty()).collect();
        let fold_in = |user: &usize| scorer.fold_in(histories.row(*user).0, histories.row(*user).1);
        let vectors: Vec<UserVector> = users.par_iter().map(fold_in).collect::<Result<_, _>>()?;
        drop(scorer);
        for (user, vector) in users.into_iter().zip(vectors) {
            self.user_factors.row_mut(user).assign(&ArrayView1::from(&vector.factors));
            if let Some(ratings) = &mut self.ratings {
                ratings.users[user] = vector.bias;
            }
        }
        if let Some(two_hop) = &mut self.two_hop {
            two_hop.with_histories(histories);
        }
        Ok(self)
    }

    /// The `n` best items for a stored user, excluding `exclude` (ascending).
    pub fn recommend(&self, user: u32, n: usize, exclude: &[u32]) -> Vec<Scored> {
        self.searchable().recommend_each(&[user], n, |_| exclude).pop().unwrap_or_default()
    }

    /// The model with codes of its items, for many lists. They are made on the ambient rayon pool.
    pub fn searchable(&self) -> SearchableModel<'_> {
        let biases = self.ratings.as_ref().map(|ratings| ratings.items.as_slice());
        let codes = ItemCodes::new(self.item_factors.view(), biases);
        SearchableModel { model: self, codes, places: Places::default() }
    }
}

/// A model with codes of its items.
#[derive(Debug)]
pub struct SearchableModel<'a> {
    model: &'a Model,
    codes: Option<ItemCodes>,
    places: Places,
}

impl SearchableModel<'_> {
    /// [`Model::recommend`] for several users. `exclude` returns the excluded items of a user
    /// (ascending). The list of a user who is not stored is empty.
    pub fn recommend_each<'a>(&self, users: &[u32], n: usize, exclude: impl Fn(u32) -> &'a [u32]) -> Vec<Vec<Scored>> {
        let mut lists = vec![Vec::new(); users.len()];
        let Ok(scorer) = self.model.scorer() else { return lists };
        let scorer = scorer.with_codes(self.codes.as_ref().map(ItemCodes::codes)).with_places(&self.places);
        let stored = |(index, user): (usize, &u32)| Some((scorer.stored(*user)?, (index, exclude(*user))));
        let (vectors, queries): (Vec<_>, Vec<_>) = users.iter().enumerate().filter_map(stored).unzip();
        let keep = |query: usize, item: u32| queries[query].1.binary_search(&item).is_err();
        for (list, (index, _)) in scorer.best_for_each(&vectors, n, keep).into_iter().zip(&queries) {
            lists[*index] = list;
        }
        lists
    }
}

//! What a fit gives: two factor matrices and what folding in needs. Immutable.

use ndarray::Array2;

use crate::{
    params::ValidAlsParams,
    row_solver::{RowSolver, SolveError},
    top_k::{Scored, top_k},
};

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// users × factors.
    pub user_factors: Array2<f32>,
    /// items × factors.
    pub item_factors: Array2<f32>,
    /// factors × factors: VᵀV of the item factors.
    pub gram: Array2<f64>,
    /// What it was fitted with.
    pub params: ValidAlsParams,
}

impl Model {
    /// The factors of a user with this history (items ascending, each once).
    ///
    /// # Errors
    /// As [`RowSolver::solve`].
    pub fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<Vec<f32>, SolveError> {
        RowSolver::new(self.item_factors.view(), self.gram.view(), &self.params)?.solve(items, values)
    }

    /// The `n` best items of a stored user, without `exclude` (ascending).
    pub fn recommend(&self, user: usize, n: usize, exclude: &[u32]) -> Vec<Scored> {
        let query = self.user_factors.row(user);
        query.as_slice().map_or_else(Vec::new, |query| {
            top_k(query, self.item_factors.view(), n, |item| exclude.binary_search(&item).is_err())
        })
    }
}

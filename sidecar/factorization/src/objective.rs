//! Computes the objective of implicit ALS in f64; the crate docs have the formula.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::{
    degrees::{degree_weighted, remove_popularity_boost},
    gram::gram,
    interactions::{CellWeights, Interactions},
    params::ValidAlsParams,
};

/// Rows summed together. The number is fixed, so the result does not depend on threads.
const CHUNK_ROWS: usize = 1024;

/// L(U, V) of any two factor matrices; see the crate docs. Σ_all ŷ² is the inner product of the
/// Gram matrices.
///
/// # Panics
/// If shapes do not match: users × factors and items × factors.
pub fn objective(
    interactions: &Interactions,
    user_factors: ArrayView2<'_, f32>,
    item_factors: ArrayView2<'_, f32>,
    params: &ValidAlsParams,
) -> f64 {
    let (interactions, degrees) = degree_weighted(interactions, params);
    let interactions = &*interactions;
    let fitted = degrees.map(|(counts, _)| {
        let mut items = item_factors.to_owned();
        remove_popularity_boost(&mut items, &counts, params);
        items
    });
    let item_factors = fitted.as_ref().map_or(item_factors, |items| items.view());
    let observed = sum_rows(interactions.users(), |user| {
        let (items, values) = interactions.row(user);
        let u = user_factors.row(user);
        let cells = items.iter().zip(values).map(|(&item, &value)| {
            let v = item_factors.row(item as usize);
            let y: f64 = u.iter().zip(v).map(|(u, v)| f64::from(*u) * f64::from(*v)).sum();
            let CellWeights { quadratic, linear } = params.cell_weights(value);
            quadratic * y * y - 2.0 * linear * y
        });
        cells.sum()
    });
    let all: f64 = gram(user_factors).iter().zip(&gram(item_factors)).map(|(x, y)| x * y).sum();
    observed
        + params.unobserved_weight() * all
        + regularization_term(interactions, user_factors, params)
        + regularization_term(&interactions.transpose(), item_factors, params)
}

/// λ Σ (n + α₀N)^ν ‖row‖² of one side, whose entries are `rows`.
pub(crate) fn regularization_term(rows: &Interactions, factors: ArrayView2<'_, f32>, params: &ValidAlsParams) -> f64 {
    sum_rows(rows.users(), |row| {
        params.row_regularization(rows.row(row).0.len(), rows.items()) * squared_norm(factors.row(row))
    })
}

pub(crate) fn squared_norm(row: ndarray::ArrayView1<'_, f32>) -> f64 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

/// Sum over rows, in chunks of fixed length.
pub(crate) fn sum_rows(rows: usize, term: impl Fn(usize) -> f64 + Sync) -> f64 {
    let chunks: Vec<usize> = (0..rows).step_by(CHUNK_ROWS).collect();
    let sums: Vec<f64> =
        chunks.into_par_iter().map(|begin| (begin..(begin + CHUNK_ROWS).min(rows)).map(&term).sum()).collect();
    sums.into_iter().sum()
}

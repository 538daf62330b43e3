//! The objective's value, in f64; the formula stands on the crate's page.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::{
    gram::gram,
    interactions::{Evidence, Interactions},
    params::ValidAlsParams,
};

/// Rows summed together; fixed, so that threads do not matter.
const CHUNK_ROWS: usize = 1024;

/// L(U, V). `item_gram` is VᵀV; Σ_all ŷ² is the inner product of the two Gram matrices.
pub(crate) fn objective(
    interactions: &Interactions,
    item_entries: &[usize],
    user_factors: ArrayView2<'_, f32>,
    item_factors: ArrayView2<'_, f32>,
    item_gram: &Array2<f64>,
    params: &ValidAlsParams,
) -> f64 {
    let users = interactions.users();
    let observed = sum_rows(users, |user| {
        let (items, values) = interactions.row(user);
        let u = user_factors.row(user);
        let cells = items.iter().zip(values).map(|(&item, &value)| {
            let y: f64 =
                u.iter().zip(item_factors.row(item as usize)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let Evidence { a, b } = Evidence::of(value);
            a * y * y - 2.0 * b * y
        });
        cells.sum::<f64>() + params.row_regularization(items.len(), interactions.items()) * squared_norm(u)
    });
    let items = sum_rows(interactions.items(), |item| {
        params.row_regularization(item_entries[item], users) * squared_norm(item_factors.row(item))
    });
    let all: f64 = gram(user_factors).iter().zip(item_gram).map(|(x, y)| x * y).sum();
    observed + items + params.unobserved_weight() * all
}

fn squared_norm(row: ndarray::ArrayView1<'_, f32>) -> f64 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

fn sum_rows(rows: usize, term: impl Fn(usize) -> f64 + Sync) -> f64 {
    let chunks: Vec<usize> = (0..rows).step_by(CHUNK_ROWS).collect();
    let sums: Vec<f64> =
        chunks.into_par_iter().map(|begin| (begin..(begin + CHUNK_ROWS).min(rows)).map(&term).sum()).collect();
    sums.into_iter().sum()
}

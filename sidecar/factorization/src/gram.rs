//! Sums of outer products: the Gram matrix of a side, and a row's own evidence.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Fewest rows whose products are summed before partial sums are added, in order.
const CHUNK_ROWS_MIN: usize = 1024;
/// Most partial sums, which bounds their memory. Chunks follow from the number of rows alone, so threads do not matter.
pub(crate) const CHUNKS_MAX: usize = 64;
/// Rows whose products are added to the matrix in one pass over it.
const BLOCK: usize = 4;

/// VᵀV (factors × factors, f64, symmetric) of a factor matrix (rows × factors).
pub fn gram(factors: ArrayView2<'_, f32>) -> Array2<f64> {
    let f = factors.ncols();
    let chunk = factors.nrows().div_ceil(CHUNKS_MAX).max(CHUNK_ROWS_MIN);
    let rows: Vec<usize> = (0..factors.nrows()).step_by(chunk).collect();
    let partial: Vec<Vec<f64>> = rows
        .into_par_iter()
        .map(|begin| {
            let end = (begin + chunk).min(factors.nrows());
            let mut sum = vec![0.0; f * f];
            let mut wide = vec![0.0; BLOCK * f];
            let all = (begin..end).map(|row| (row, 1.0));
            add_outer_products(&mut sum, &mut wide, factors, all);
            sum
        })
        .collect();
    let mut total = vec![0.0; f * f];
    for sum in partial {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += s;
        }
    }
    for i in 0..f {
        for j in 0..i {
            total[j * f + i] = total[i * f + j];
        }
    }
    Array2::from_shape_fn((f, f), |(i, j)| total[i * f + j])
}

/// Adds Σ weight · v vᵀ to the lower triangle of `matrix` (factors × factors). `wide` is scratch of `BLOCK` rows.
pub(crate) fn add_outer_products(
    matrix: &mut [f64],
    wide: &mut [f64],
    factors: ArrayView2<'_, f32>,
    rows: impl Iterator<Item = (usize, f64)>,
) {
    let f = factors.ncols();
    let mut weights = [0.0; BLOCK];
    let mut filled = 0;
    for (row, weight) in rows {
        for (to, from) in wide[filled * f..(filled + 1) * f].iter_mut().zip(factors.row(row)) {
            *to = f64::from(*from);
        }
        weights[filled] = weight;
        filled += 1;
        if filled == BLOCK {
            add_block(matrix, wide, weights, f);
            filled = 0;
        }
    }
    if filled > 0 {
        // The rest of the block weighs nothing; stale rows are zeroed, since 0 · ∞ is not 0.
        wide[filled * f..].fill(0.0);
        weights[filled..].fill(0.0);
        add_block(matrix, wide, weights, f);
    }
}

fn add_block(matrix: &mut [f64], wide: &[f64], weights: [f64; BLOCK], f: usize) {
    let (r0, rest) = wide.split_at(f);
    let (r1, rest) = rest.split_at(f);
    let (r2, r3) = rest.split_at(f);
    for i in 0..f {
        let c = [weights[0] * r0[i], weights[1] * r1[i], weights[2] * r2[i], weights[3] * r3[i]];
        let row = &mut matrix[i * f..=i * f + i];
        let columns = row.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3);
        for ((((m, v0), v1), v2), v3) in columns {
            *m += (c[0] * v0 + c[1] * v1) + (c[2] * v2 + c[3] * v3);
        }
    }
}

/// Rows of scratch that [`add_outer_products`] wants.
pub(crate) const SCRATCH_ROWS: usize = BLOCK;

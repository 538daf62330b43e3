//! The Gram matrix of a side: what every row of the other side shares.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::{
    simd::{self, Kernel},
    tile::{add_products, padded},
};

/// Fewest rows whose products are summed before partial sums are added, in order.
const CHUNK_ROWS_MIN: usize = 1024;
/// Most partial sums, which bounds their memory. Chunks follow from the number of rows alone, so threads do not matter.
pub(crate) const CHUNKS_MAX: usize = 32;
/// Rows that are made wide and multiplied together; with 64 factors they fit the first cache.
const BLOCK_ROWS: usize = 32;

/// VᵀV (factors × factors, f64, symmetric) of a factor matrix (rows × factors).
pub fn gram(factors: ArrayView2<'_, f32>) -> Array2<f64> {
    let (rows, f) = factors.dim();
    let order = padded(f);
    let chunk = rows.div_ceil(CHUNKS_MAX).max(CHUNK_ROWS_MIN);
    let starts: Vec<usize> = (0..rows).step_by(chunk).collect();
    let partial: Vec<Vec<f64>> = starts
        .into_par_iter()
        .map(|start| simd::run(Products { factors, rows: start..(start + chunk).min(rows) }))
        .collect();
    let mut total = vec![0.0; order * order];
    for sum in partial {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += s;
        }
    }
    Array2::from_shape_fn((f, f), |(i, j)| total[i.min(j) * order + i.max(j)])
}

/// Σ v vᵀ over some rows; padded, upper triangle.
struct Products<'a> {
    factors: ArrayView2<'a, f32>,
    rows: std::ops::Range<usize>,
}

impl Kernel for Products<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let order = padded(self.factors.ncols());
        let mut sum = vec![0.0; order * order];
        let mut wide = vec![0.0; BLOCK_ROWS * order];
        for start in self.rows.clone().step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(self.rows.end);
            for (row, line) in (start..end).zip(wide.chunks_exact_mut(order)) {
                widen(line, self.factors.row(row));
            }
            let wide = &wide[..(end - start) * order];
            add_products(&mut sum, order, wide, wide);
        }
        sum
    }
}

/// Copies a row to f64; by slices, which become vector instructions, when it lies in one piece.
#[inline(always)]
fn widen(line: &mut [f64], row: ArrayView1<'_, f32>) {
    match row.to_slice() {
        Some(row) => line.iter_mut().zip(row).for_each(|(to, from)| *to = f64::from(*from)),
        None => line.iter_mut().zip(row).for_each(|(to, from)| *to = f64::from(*from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    fn it_is_the_product_of_the_transpose_with_itself() {
        let factors = Array2::from_shape_fn((2500, 11), |(i, j)| normal(1, i as u64, j as u64) as f32);
        let wide = factors.mapv(f64::from);
        let plain = wide.t().dot(&wide);
        for (fast, plain) in gram(factors.view()).iter().zip(&plain) {
            assert!((fast - plain).abs() < 1e-9, "{fast} {plain}");
        }
        let part = || Products { factors: factors.view(), rows: 0..100 };
        assert_eq!(simd::run(part()), part().run(), "every instruction set gives the same bits");
    }
}

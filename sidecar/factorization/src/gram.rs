//! The Gram matrix of one side, which all rows of the other side share.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::{
    conjugate_gradient::LANES,
    rotate::{Lanes, TILE_ROWS, lanes, multiply_add, pack, panels},
    simd::{self, Kernel},
    tile::{add_products, padded},
};

/// Minimum number of rows per partial sum; partial sums are added in order.
const CHUNK_ROWS_MIN: usize = 1024;
/// Maximum number of partial sums, which bounds their memory. Chunks depend only on the number of
/// rows, so the result does not depend on threads.
const CHUNKS_MAX: usize = 32;
/// Rows that are converted to f64 and multiplied together; with 64 factors they fit the L1 cache.
const BLOCK_ROWS: usize = 32;

fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(CHUNKS_MAX).max(CHUNK_ROWS_MIN)
}

/// Number of partial sums for a number of rows.
pub(crate) fn partial_sums(rows: u64) -> u64 {
    rows.div_ceil(CHUNK_ROWS_MIN as u64).min(CHUNKS_MAX as u64)
}

/// VᵀV (factors × factors, f64, symmetric) of a factor matrix (rows × factors).
pub fn gram(factors: ArrayView2<'_, f32>) -> Array2<f64> {
    let (rows, f) = factors.dim();
    let order = padded(f);
    let chunk = chunk_rows(rows);
    let starts: Vec<usize> = (0..rows).step_by(chunk).collect();
    let partial: Vec<Vec<f64>> = starts
        .into_par_iter()
        .map(|start| simd::run(Products { factors, rows: start..(start + chunk).min(rows) }))
        .collect();
    sum_in_order(&partial, f, order)
}

/// VᵀV of rows that are padded to a multiple of the lanes (rows × `width`), for a fit. Products of
/// [`SHORT_ROWS`] rows are summed in f32 and those sums in f64. This is three times as fast and
/// accurate to about 1e-7 of the maximum entry, as are the factors themselves.
pub(crate) fn gram_of_padded(rows: &[f32], width: usize) -> Array2<f64> {
    let chunk = chunk_rows(rows.len() / width);
    let partial: Vec<Vec<f64>> =
        rows.par_chunks(chunk * width).map(|rows| simd::run(ShortProducts { rows, width })).collect();
    sum_in_order(&partial, width, width)
}

/// The sum of partial sums (order × order, upper triangles), without padding beyond `f`, symmetric.
fn sum_in_order(partial: &[Vec<f64>], f: usize, order: usize) -> Array2<f64> {
    let mut total = vec![0.0; order * order];
    for sum in partial {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += s;
        }
    }
    Array2::from_shape_fn((f, f), |(i, j)| total[i.min(j) * order + i.max(j)])
}

/// Rows whose products are summed in f32.
const SHORT_ROWS: usize = 128;

/// Σ v vᵀ over some rows. The upper triangle is valid; below it, values are undefined.
struct ShortProducts<'a> {
    rows: &'a [f32],
    width: usize,
}

impl Kernel for ShortProducts<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { rows, width } = self;
        let mut sum = vec![0.0; width * width];
        let mut panels = panels(SHORT_ROWS, width);
        let panels = lanes(&mut panels);
        for rows in rows.chunks(SHORT_ROWS * width) {
            let panels = &mut panels[..rows.len() / LANES];
            pack(rows, panels, width);
            let panel = |column: usize| &panels[column / LANES * (rows.len() / width)..][..rows.len() / width];
            for (first, lines) in (0..width).step_by(TILE_ROWS).zip(sum.chunks_exact_mut(TILE_ROWS * width)) {
                for column in (first / LANES * LANES..width).step_by(LANES) {
                    let tile = short_products(panel(first), first % LANES, panel(column));
                    for (line, lanes) in lines.chunks_exact_mut(width).zip(tile) {
                        for (to, x) in line[column..column + LANES].iter_mut().zip(lanes) {
                            *to += f64::from(x);
                        }
                    }
                }
            }
        }
        sum
    }
}

/// Eight rows of sixteen columns of a product, unrolled so that they stay in registers; see `tile`.
#[inline(always)]
fn short_products(left: &[Lanes], first: usize, right: &[Lanes]) -> [Lanes; TILE_ROWS] {
    let [mut t0, mut t1, mut t2, mut t3, mut t4, mut t5, mut t6, mut t7] = [[0.0; LANES]; TILE_ROWS];
    for (left, &right) in left.iter().zip(right) {
        let left: &[f32; TILE_ROWS] = left[first..].first_chunk().expect("the lanes are a multiple of the tile rows");
        t0 = multiply_add(left[0], right, t0);
        t1 = multiply_add(left[1], right, t1);
        t2 = multiply_add(left[2], right, t2);
        t3 = multiply_add(left[3], right, t3);
        t4 = multiply_add(left[4], right, t4);
        t5 = multiply_add(left[5], right, t5);
        t6 = multiply_add(left[6], right, t6);
        t7 = multiply_add(left[7], right, t7);
    }
    [t0, t1, t2, t3, t4, t5, t6, t7]
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
        let mut block = vec![0.0; BLOCK_ROWS * order];
        for start in self.rows.clone().step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(self.rows.end);
            for (row, line) in (start..end).zip(block.chunks_exact_mut(order)) {
                to_f64(line, self.factors.row(row));
            }
            let block = &block[..(end - start) * order];
            add_products(&mut sum, order, block, block);
        }
        sum
    }
}

/// Copies a row to f64. A contiguous row is copied from a slice, which compiles to vector
/// instructions.
#[inline(always)]
fn to_f64(line: &mut [f64], row: ArrayView1<'_, f32>) {
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
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn gram_is_the_product_of_the_transpose_and_the_matrix() {
        let factors = Array2::from_shape_fn((2500, 11), |(i, j)| normal(1, i as u64, j as u64) as f32);
        let exact = factors.mapv(f64::from);
        let product = exact.t().dot(&exact);
        for (fast, plain) in gram(factors.view()).iter().zip(&product) {
            assert!((fast - plain).abs() < 1e-9, "{fast} {plain}");
        }
        let part = || Products { factors: factors.view(), rows: 0..100 };
        assert_eq!(simd::run(part()), part().run(), "every instruction set gives the same bits");
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn single_precision_is_close_on_any_instruction_set() {
        let factors = Array2::from_shape_fn((2500, 32), |(i, j)| normal(1, i as u64, j as u64) as f32);
        let rows = factors.as_slice().unwrap();
        for (short, plain) in gram_of_padded(rows, 32).iter().zip(&gram(factors.view())) {
            assert!((short - plain).abs() < 1e-6 * 2500.0, "{short} {plain}");
        }
        let part = || ShortProducts { rows: &rows[..300 * 32], width: 32 };
        assert_eq!(simd::run(part()), part().run());
    }
}

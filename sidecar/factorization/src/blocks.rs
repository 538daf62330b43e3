//! Products of a sparse matrix with tall f32 blocks, in parallel. The bits are the same on any
//! number of threads and any processor: rows are independent, and every element is a chain of fused
//! multiply-adds in the order of the row's entries.

use ndarray::Array2;
use rayon::prelude::*;

use crate::{
    interactions::Interactions,
    simd::{self, Kernel},
};

/// Rows per task.
const TASK_ROWS: usize = 64;
/// Entries whose rows are added together.
const ENTRIES: usize = 4;
/// How many entries ahead rows are prefetched.
const AHEAD: usize = 8;
/// f32 elements in a cache line.
const LINE: usize = 16;

/// Step of a recurrence: how a block is updated from the product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// s·AX.
    Product,
    /// s·AX − B, where B is the previous block.
    Minus,
    /// s·AX − 2C − B.
    MinusTwice(&'a Array2<f32>),
}

/// Updates `block` (rows of A × `width`) with a step that uses the product of A, times `scale`, and
/// X (columns of A × `width`).
pub(crate) fn multiply(matrix: &Interactions, scale: f64, x: &Array2<f32>, step: Step<'_>, block: &mut Array2<f32>) {
    let (x, width) = (slice(x), x.ncols());
    let block = block.as_slice_mut().expect("blocks are in standard layout");
    block.par_chunks_mut(TASK_ROWS * width).enumerate().for_each(|(task, out)| {
        simd::run(SparseRows { matrix, scale, first: task * TASK_ROWS, x, step, out, width });
    });
}

struct SparseRows<'a> {
    matrix: &'a Interactions,
    scale: f64,
    first: usize,
    x: &'a [f32],
    step: Step<'a>,
    out: &'a mut [f32],
    width: usize,
}

impl Kernel for SparseRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { matrix, scale, first, x, step, out, width } = self;
        let (offsets, last) = (matrix.offsets(), first + out.len() / width);
        let upcoming = &matrix.columns()[..offsets[last]];
        for (row, out) in (first..last).zip(out.chunks_exact_mut(width)) {
            match step {
                Step::Product => out.fill(0.0),
                Step::Minus => out.iter_mut().for_each(|out| *out = -*out),
                Step::MinusTwice(current) => {
                    let current = &slice(current)[row * width..(row + 1) * width];
                    out.iter_mut().zip(current).for_each(|(out, current)| *out = (-2.0_f32).mul_add(*current, -*out));
                }
            }
            let (indexes, values) = matrix.row(row);
            for (group, (indexes, values)) in indexes.chunks(ENTRIES).zip(values.chunks(ENTRIES)).enumerate() {
                let ahead = offsets[row] + group * ENTRIES + AHEAD;
                for &index in upcoming.get(ahead..ahead + ENTRIES).unwrap_or_default() {
                    for line in x[index as usize * width..(index as usize + 1) * width].chunks_exact(LINE) {
                        simd::prefetch(line);
                    }
                }
                add_rows(x, indexes, values, scale, out);
            }
        }
    }
}

/// out ← out + Σ scale·value·row of x, for up to four entries; a missing entry adds 0 times the
/// first.
#[inline(always)]
fn add_rows(x: &[f32], indexes: &[u32], values: &[f32], scale: f64, out: &mut [f32]) {
    let width = out.len();
    let row = |entry: usize| {
        let index = *indexes.get(entry).unwrap_or(&indexes[0]) as usize;
        &x[index * width..(index + 1) * width]
    };
    #[expect(clippy::cast_possible_truncation, reason = "scaled values are near 1")]
    let weight = |entry: usize| values.get(entry).map_or(0.0, |value| (f64::from(*value) * scale) as f32);
    let (x0, x1, x2, x3) = (row(0), row(1), row(2), row(3));
    let (w0, w1, w2, w3) = (weight(0), weight(1), weight(2), weight(3));
    for i in 0..width {
        out[i] = w3.mul_add(x3[i], w2.mul_add(x2[i], w1.mul_add(x1[i], w0.mul_add(x0[i], out[i]))));
    }
}

/// X·W of small f64 matrices.
pub(crate) fn times(x: &Array2<f64>, w: &Array2<f64>) -> Array2<f64> {
    let mut product = Array2::zeros((x.nrows(), w.ncols()));
    let (x_rows, w_rows) = (slice(x).par_chunks(x.ncols()), slice(w));
    let out = product.as_slice_mut().expect("a new matrix is in standard layout").par_chunks_mut(w.ncols());
    out.zip(x_rows).for_each(|(out, x)| simd::run(DenseRow { x, w: w_rows, out }));
    product
}

#[inline(always)]
fn slice<T>(matrix: &Array2<T>) -> &[T] {
    matrix.as_slice().expect("blocks and square matrices are in standard layout")
}

struct DenseRow<'a> {
    x: &'a [f64],
    w: &'a [f64],
    out: &'a mut [f64],
}

impl Kernel for DenseRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (&x, w) in self.x.iter().zip(self.w.chunks_exact(self.out.len())) {
            add_scaled(self.out, x, w);
        }
    }
}

/// out ← out + by·row.
#[inline(always)]
pub(crate) fn add_scaled(out: &mut [f64], by: f64, row: &[f64]) {
    for (out, x) in out.iter_mut().zip(row) {
        *out = by.mul_add(*x, *out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{interactions::Entry, random::normal};

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
    fn steps_match_the_dense_matrix_on_any_instruction_set() {
        let (users, items, width) = (130, 50, 32);
        let dense = Array2::from_shape_fn((users, items), |(i, j)| {
            // Rows of every length, including 0.
            if (i * j) % 7 < i % 5 { normal(1, i as u64, j as u64) as f32 } else { 0.0 }
        });
        let entries = dense.indexed_iter().filter(|(_, value)| **value != 0.0).map(|((user, item), value)| Entry {
            user: user as u32,
            item: item as u32,
            value: *value,
        });
        let matrix = Interactions::from_entries(users, items, entries.collect()).unwrap();
        let draw = |seed, rows| Array2::from_shape_fn((rows, width), |(i, j)| normal(seed, i as u64, j as u64) as f32);
        let (x, before, current) = (draw(2, items), draw(3, users), draw(4, users));
        let product = dense.mapv(f64::from).dot(&x.mapv(f64::from)) * 0.3;
        let (before_f64, current_f64) = (before.mapv(f64::from), current.mapv(f64::from));
        for (step, exact) in [
            (Step::Product, product.clone()),
            (Step::Minus, &product - &before_f64),
            (Step::MinusTwice(&current), &product - &before_f64 - &current_f64 * 2.0),
        ] {
            let (mut vectorized, mut scalar) = (before.clone(), before.clone());
            multiply(&matrix, 0.3, &x, step, &mut vectorized);
            for (fast, exact) in vectorized.iter().zip(&exact) {
                assert!((f64::from(*fast) - exact).abs() < 1e-5, "{step:?}: {fast} {exact}");
            }
            let out = scalar.as_slice_mut().unwrap();
            SparseRows { matrix: &matrix, scale: 0.3, first: 0, x: slice(&x), step, out, width }.run();
            assert_eq!(scalar, vectorized, "{step:?}");
        }
    }
}

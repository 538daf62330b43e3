//! Products of a sparse matrix and of tall f64 matrices, in parallel, with the same bits on any number of threads and any
//! processor: rows are independent, and sums over rows run over chunks of fixed length that are added in order.

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::{
    interactions::Interactions,
    simd::{self, Kernel},
};

/// Rows of one task.
const TASK_ROWS: usize = 256;
/// Rows whose products are summed before partial sums are added.
const CHUNK_ROWS: usize = 4096;

/// A·X: rows of A × columns of X.
pub(crate) fn multiply(matrix: &Interactions, x: &Array2<f64>) -> Array2<f64> {
    let columns = x.ncols();
    let mut product = Array2::zeros((matrix.users(), columns));
    by_rows(&mut product, |first, out| {
        simd::run(SparseRows { matrix, first, x: slice(x), columns, out });
    });
    product
}

/// X·W, with W small.
pub(crate) fn times(x: &Array2<f64>, w: &Array2<f64>) -> Array2<f64> {
    let mut product = Array2::zeros((x.nrows(), w.ncols()));
    let inner = x.ncols();
    by_rows(&mut product, |first, out| {
        let x = &slice(x)[first * inner..];
        simd::run(DenseRows { x, inner, w: slice(w), columns: w.ncols(), out });
    });
    product
}

/// XᵀY.
pub(crate) fn inner(x: &Array2<f64>, y: &Array2<f64>) -> Array2<f64> {
    let (a, b) = (x.ncols(), y.ncols());
    let starts: Vec<usize> = (0..x.nrows()).step_by(CHUNK_ROWS).collect();
    let partial: Vec<Vec<f64>> = starts
        .into_par_iter()
        .map(|start| {
            let end = (start + CHUNK_ROWS).min(x.nrows());
            let (x, y) = (&slice(x)[start * a..end * a], &slice(y)[start * b..end * b]);
            simd::run(Inner { x, a, y, b })
        })
        .collect();
    let mut total = vec![0.0; a * b];
    for sum in partial {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += s;
        }
    }
    Array2::from_shape_vec((a, b), total).expect("as many sums as pairs of columns")
}

/// The matrices side by side.
pub(crate) fn beside(blocks: &[&Array2<f64>]) -> Array2<f64> {
    let views: Vec<_> = blocks.iter().map(|block| block.view()).collect();
    ndarray::concatenate(Axis(1), &views).expect("blocks have as many rows").as_standard_layout().into_owned()
}

fn slice(matrix: &Array2<f64>) -> &[f64] {
    matrix.as_slice().expect("blocks are in standard layout")
}

fn by_rows(product: &mut Array2<f64>, work: impl Fn(usize, &mut [f64]) + Sync) {
    let columns = product.ncols();
    if columns == 0 {
        return;
    }
    let all = product.as_slice_mut().expect("blocks are in standard layout");
    all.par_chunks_mut(TASK_ROWS * columns).enumerate().for_each(|(task, out)| work(task * TASK_ROWS, out));
}

#[inline(always)]
fn add_scaled(out: &mut [f64], by: f64, row: &[f64]) {
    for (out, x) in out.iter_mut().zip(row) {
        *out = by.mul_add(*x, *out);
    }
}

struct SparseRows<'a> {
    matrix: &'a Interactions,
    first: usize,
    x: &'a [f64],
    columns: usize,
    out: &'a mut [f64],
}

impl Kernel for SparseRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (row, out) in (self.first..).zip(self.out.chunks_exact_mut(self.columns)) {
            let (indexes, values) = self.matrix.row(row);
            for (&index, &value) in indexes.iter().zip(values) {
                let at = index as usize * self.columns;
                add_scaled(out, f64::from(value), &self.x[at..at + self.columns]);
            }
        }
    }
}

struct DenseRows<'a> {
    x: &'a [f64],
    inner: usize,
    w: &'a [f64],
    columns: usize,
    out: &'a mut [f64],
}

impl Kernel for DenseRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (x, out) in self.x.chunks_exact(self.inner.max(1)).zip(self.out.chunks_exact_mut(self.columns)) {
            for (&x, w) in x.iter().zip(self.w.chunks_exact(self.columns)) {
                add_scaled(out, x, w);
            }
        }
    }
}

struct Inner<'a> {
    x: &'a [f64],
    a: usize,
    y: &'a [f64],
    b: usize,
}

impl Kernel for Inner<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let mut sums = vec![0.0; self.a * self.b];
        if sums.is_empty() {
            return sums;
        }
        for (x, y) in self.x.chunks_exact(self.a).zip(self.y.chunks_exact(self.b)) {
            for (&x, sums) in x.iter().zip(sums.chunks_exact_mut(self.b)) {
                add_scaled(sums, x, y);
            }
        }
        sums
    }
}

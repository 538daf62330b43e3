//! Solves one row of one side with the other side fixed: the inner step of training, and fold-in.

mod short_rows;

use ndarray::ArrayView2;
use thiserror::Error;

use self::short_rows::ShortRow;
use crate::{
    cholesky,
    gram_view::{GramForm, GramView},
    interactions::CellWeights,
    params::ValidAlsParams,
    simd::{self, Kernel},
    tile::{TILE, add_products, padded},
};

/// Why a row has no solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SolveError {
    /// The normal equations are singular or not finite.
    #[error("the normal equations are not positive definite: raise regularization, or check for extreme weights")]
    NotPositiveDefinite,
    /// The row is not finite in f32.
    #[error(
        "the solution is not finite in single precision: lower extreme weights or the learning rate, or raise regularization"
    )]
    NotFinite,
    /// An index of the fixed side is out of range.
    #[error("index {index} is outside 0..{bound}")]
    OutOfRange {
        /// The index given.
        index: u32,
        /// Number of rows of the fixed side.
        bound: usize,
    },
    /// Indexes are not ascending, or one occurs twice.
    #[error("index {index} is not greater than the previous one: sort entries and merge those of the same index")]
    NotAscending {
        /// The index given.
        index: u32,
    },
    /// A weight is NaN or infinite.
    #[error("a weight is not a finite number")]
    WeightNotFinite,
    /// Indexes and weights differ in number.
    #[error("{indexes} indexes but {weights} weights: expected one weight per index")]
    Lengths {
        /// Number of indexes.
        indexes: usize,
        /// Number of weights.
        weights: usize,
    },
    /// Biases do not match the fixed side.
    #[error("{biases} biases but {rows} rows: expected one bias per row")]
    Biases {
        /// Number of biases.
        biases: usize,
        /// Number of rows of the fixed side.
        rows: usize,
    },
    /// Counts do not match the items.
    #[error("{counts} counts but {items} items: expected one count per item")]
    Counts {
        /// Number of counts.
        counts: usize,
        /// Number of items.
        items: usize,
    },
    /// Biases do not match the algorithm of the parameters.
    #[error("biases do not match the algorithm: models of ratings have biases, other models have none")]
    AlgorithmMismatch,
    /// Matrices do not match the parameters or each other.
    #[error("the fixed side is {rows} × {columns} and gram {gram:?}: expected {factors} columns in row-major layout")]
    Shape {
        /// Number of rows of the fixed side.
        rows: usize,
        /// Number of its columns.
        columns: usize,
        /// Shape of the Gram matrix.
        gram: (usize, usize),
        /// Number of factors of the parameters.
        factors: usize,
    },
}

/// Solves rows given a fixed side (`rows × factors`) and its Gram matrix; the crate docs have the
/// equations.
///
/// It borrows its parts, so it works on a model in memory or mapped from a file, and is cheap to
/// make.
#[derive(Clone, Copy, Debug)]
pub struct RowSolver<'a> {
    /// rows × stride, in row-major order; factors are the first columns.
    fixed: &'a [f32],
    stride: usize,
    rows: usize,
    /// Number of rows that count as cells of a row: all but those of cold-start items.
    cells: usize,
    /// factors × factors.
    gram: &'a [f64],
    /// Whether the Gram matrix is diagonal, as that of a fit is.
    diagonal: bool,
    pub(crate) params: &'a ValidAlsParams,
}

/// Rows of the fixed side that are converted to f64 and multiplied together.
pub(crate) const BLOCK_ROWS: usize = 32;

/// Buffers of one thread, padded as described in [`crate::tile`]. The padding of `block` and
/// `weighted` stays 0.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub(crate) matrix: Vec<f64>,
    pub(crate) x: Vec<f64>,
    pub(crate) block: Vec<f64>,
    weighted: Vec<f64>,
    /// Diagonal of the matrix without entries.
    pub(crate) diagonal: Vec<f64>,
    /// One number per entry of a short row.
    pub(crate) dual: Vec<f64>,
}

impl Scratch {
    /// Buffers for rows of `factors`.
    pub(crate) fn new(factors: usize) -> Self {
        let order = padded(factors);
        let block = || vec![0.0; BLOCK_ROWS * order];
        let line = || vec![0.0; order];
        Self {
            matrix: vec![0.0; order * order],
            x: line(),
            block: block(),
            weighted: block(),
            diagonal: line(),
            dual: line(),
        }
    }

    /// Bytes of the buffers for rows of `factors`.
    pub(crate) fn bytes(factors: usize) -> usize {
        let order = padded(factors);
        size_of::<f64>() * order * (order + 3 + 2 * BLOCK_ROWS)
    }
}

impl<'a> RowSolver<'a> {
    /// `fixed` is rows × factors, `gram` factors × factors, both in standard (row-major,
    /// contiguous) layout. A Gram matrix without its form is scanned.
    ///
    /// # Errors
    /// [`SolveError::Shape`].
    pub fn new(
        fixed: ArrayView2<'a, f32>,
        gram: impl Into<GramView<'a>>,
        params: &'a ValidAlsParams,
    ) -> Result<Self, SolveError> {
        let GramView { matrix: gram, form } = gram.into();
        let factors = params.factors();
        let (rows, columns) = fixed.dim();
        match (fixed.to_slice(), gram.to_slice()) {
            (Some(fixed), Some(gram_slice)) if columns == factors && gram.dim() == (factors, factors) => {
                let diagonal = form == GramForm::Diagonal;
                Ok(Self { fixed, stride: factors, rows, cells: rows, gram: gram_slice, diagonal, params })
            }
            _ => Err(SolveError::Shape { rows, columns, gram: gram.dim(), factors }),
        }
    }

    /// From rows of the fixed side that are padded to `stride`.
    pub(crate) fn padded(fixed: &'a [f32], stride: usize, gram: &'a [f64], params: &'a ValidAlsParams) -> Self {
        let diagonal = is_diagonal(gram, params.factors());
        let rows = fixed.len() / stride;
        Self { fixed, stride, rows, cells: rows, gram, diagonal, params }
    }

    /// The same solver without the last `rows` rows of the fixed side among the cells of a row.
    /// They are cold-start items, which the Gram matrix does not include.
    #[must_use]
    pub fn excluding_cold_items(self, rows: usize) -> Self {
        Self { cells: self.rows.saturating_sub(rows), ..self }
    }

    /// The same solver with some other rows of the fixed side, in row-major order. They must be
    /// rows from which the Gram matrix was computed.
    pub(crate) fn of_rows<'b>(&'b self, fixed: &'b [f32]) -> RowSolver<'b> {
        let stride = self.params.factors();
        RowSolver { fixed, stride, rows: fixed.len() / stride, ..*self }
    }

    /// A row of the fixed side.
    #[inline(always)]
    pub(crate) fn fixed_row(&self, index: u32) -> &'a [f32] {
        &self.fixed[index as usize * self.stride..][..self.params.factors()]
    }

    /// Writes the diagonal of the matrix of a row with this many entries, without the terms of the
    /// entries.
    #[inline(always)]
    pub(crate) fn write_diagonal(&self, entries: usize, diagonal: &mut [f64]) {
        let (alpha, lambda) = (self.params.unobserved_weight(), self.params.row_regularization(entries, self.cells));
        for (to, gram) in diagonal.iter_mut().zip(self.gram.iter().step_by(self.params.factors() + 1)) {
            *to = alpha.mul_add(*gram, lambda);
        }
    }

    /// Solves the row (factors) of these entries of the fixed side; indexes are ascending and
    /// unique.
    ///
    /// # Errors
    /// Entries are out of range, out of order or not finite, or the equations cannot be solved.
    pub fn solve(&self, indexes: &[u32], weights: &[f32]) -> Result<Vec<f32>, SolveError> {
        check_entries(indexes, weights, self.rows)?;
        let mut row = vec![0.0; self.params.factors()];
        self.solve_into(indexes, weights, &mut Scratch::new(self.params.factors()), &mut row)?;
        Ok(row)
    }

    /// As [`Self::solve`], for entries in any order. Entries of the same index merge like those of
    /// the same pair in [`crate::Interactions::from_entries`], so the same history gives the same
    /// row, bit for bit.
    ///
    /// # Errors
    /// Those of [`Self::solve`].
    pub fn solve_entries(&self, entries: &[(u32, f32)]) -> Result<Vec<f32>, SolveError> {
        let mut sorted = entries.to_vec();
        sorted.sort_unstable_by(|x, y| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)));
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        let (indexes, weights): (Vec<u32>, Vec<f32>) = sorted.into_iter().unzip();
        self.solve(&indexes, &weights)
    }

    /// As [`Self::solve`], for valid entries, into `row` (factors). Returns the minimum of the
    /// row's terms of the objective: −bᵀx, before x is rounded.
    pub(crate) fn solve_into(
        &self,
        indexes: &[u32],
        weights: &[f32],
        scratch: &mut Scratch,
        row: &mut [f32],
    ) -> Result<f64, SolveError> {
        if indexes.is_empty() {
            // b = 0, and the matrix is positive definite or arbitrary: 0 is the minimum-norm
            // solution.
            row.fill(0.0);
            return Ok(0.0);
        }
        let short = self.diagonal && padded(indexes.len()) <= padded(row.len());
        let solved = if short { simd::run(ShortRow { solver: self, indexes, weights, scratch }) } else { None };
        let terms = match solved {
            Some(terms) => terms,
            None => simd::run(Equations { solver: self, indexes, weights, scratch })?,
        };
        for (to, from) in row.iter_mut().zip(&scratch.x) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            let single = *from as f32;
            *to = single;
        }
        if row.iter().any(|factor| !factor.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(terms)
    }

    /// Leaves the Cholesky factor of a row with these entries, which must be valid, in
    /// `scratch.matrix`.
    pub(crate) fn factor(&self, indexes: &[u32], weights: &[f32], scratch: &mut Scratch) -> Result<(), SolveError> {
        simd::run(Equations { solver: self, indexes, weights, scratch }).map(|_| ())
    }
}

/// Whether a square matrix is diagonal.
fn is_diagonal(matrix: &[f64], order: usize) -> bool {
    matrix.iter().enumerate().all(|(index, x)| index % (order + 1) == 0 || *x == 0.0)
}

/// Checks that there is one count per item.
pub(crate) fn check_counts(counts: &[u32], items: usize) -> Result<(), SolveError> {
    if counts.len() == items { Ok(()) } else { Err(SolveError::Counts { counts: counts.len(), items }) }
}

/// Checks the entries of a row: one weight per index, indexes in range and ascending, weights
/// finite.
pub(crate) fn check_entries(indexes: &[u32], weights: &[f32], bound: usize) -> Result<(), SolveError> {
    if indexes.len() != weights.len() {
        return Err(SolveError::Lengths { indexes: indexes.len(), weights: weights.len() });
    }
    if let Some(&index) = indexes.iter().find(|i| **i as usize >= bound) {
        return Err(SolveError::OutOfRange { index, bound });
    }
    if let Some(pair) = indexes.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(SolveError::NotAscending { index: pair[1] });
    }
    if weights.iter().any(|w| !w.is_finite()) {
        return Err(SolveError::WeightNotFinite);
    }
    Ok(())
}

/// Sets up and solves the equations of one row.
struct Equations<'a> {
    solver: &'a RowSolver<'a>,
    indexes: &'a [u32],
    weights: &'a [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Equations<'_> {
    type Output = Result<f64, SolveError>;

    #[inline(always)]
    fn run(self) -> Result<f64, SolveError> {
        let Self { solver, indexes, weights, scratch: Scratch { matrix, x, block, weighted, .. } } = self;
        let f = solver.params.factors();
        let order = padded(f);
        let lambda = solver.params.row_regularization(indexes.len(), solver.cells);
        fill_base(matrix, solver.gram, f, solver.params.unobserved_weight(), lambda);
        x.fill(0.0);
        for (indexes, weights) in indexes.chunks(BLOCK_ROWS).zip(weights.chunks(BLOCK_ROWS)) {
            let lines = block.chunks_exact_mut(order).zip(weighted.chunks_exact_mut(order));
            for ((&index, &weight), (line, weighted)) in indexes.iter().zip(weights).zip(lines) {
                let CellWeights { quadratic, linear } = solver.params.cell_weights(weight);
                let fixed = solver.fixed_row(index);
                for (((line, weighted), x), &v) in line.iter_mut().zip(weighted).zip(&mut *x).zip(fixed) {
                    let v = f64::from(v);
                    *line = v;
                    *weighted = quadratic * v;
                    *x = linear.mul_add(v, *x);
                }
            }
            let used = indexes.len() * order;
            add_products(matrix, order, &block[..used], &weighted[..used]);
        }
        let product = cholesky::solve(matrix, x).map_err(|_| SolveError::NotPositiveDefinite)?;
        Ok(-product)
    }
}

/// Fills the matrix with α₀G + λI in the upper triangle, and the identity in the padding.
#[inline(always)]
fn fill_base(matrix: &mut [f64], gram: &[f64], f: usize, alpha: f64, lambda: f64) {
    let order = padded(f);
    for (i, (line, gram)) in matrix.chunks_exact_mut(order).zip(gram.chunks_exact(f)).enumerate() {
        let start = i / TILE * TILE;
        for (to, from) in line[start..f].iter_mut().zip(&gram[start..]) {
            *to = alpha * from;
        }
        line[f..].fill(0.0);
        line[i] += lambda;
    }
    for i in f..order {
        let line = &mut matrix[i * order..(i + 1) * order];
        line.fill(0.0);
        line[i] = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{gram::gram, params::AlsParams, random::normal};

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for factors in [1, 5, 8, 24, 64, 67] {
            let params = AlsParams { factors, ..AlsParams::default() }.check().unwrap();
            let f = params.factors();
            #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
            let fixed = Array2::from_shape_fn((200, f), |(i, j)| normal(1, i as u64, j as u64) as f32);
            let full = gram(fixed.view());
            let diagonal = Array2::from_diag(&full.diag());
            let indexes: Vec<u32> = (0..200).step_by(3).collect();
            let weights: Vec<f32> = (0_u8..67).map(|i| f32::from(i % 5) - 1.0).collect();
            let bits = |row: &[f64]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            for gram in [&full, &diagonal] {
                let solver = RowSolver::new(fixed.view(), gram.view(), &params).unwrap();
                let part = |scratch| Equations { solver: &solver, indexes: &indexes, weights: &weights, scratch };
                let (mut vectorized, mut scalar) = (Scratch::new(f), Scratch::new(f));
                simd::run(part(&mut vectorized)).unwrap();
                part(&mut scalar).run().unwrap();
                assert_eq!(bits(&vectorized.x), bits(&scalar.x), "{f} factors");
            }
            let solver = RowSolver::new(fixed.view(), diagonal.view(), &params).unwrap();
            let (indexes, weights) = (&indexes[..f.min(67)], &weights[..f.min(67)]);
            let part = |scratch| ShortRow { solver: &solver, indexes, weights, scratch };
            let (mut vectorized, mut scalar, mut long) = (Scratch::new(f), Scratch::new(f), Scratch::new(f));
            simd::run(part(&mut vectorized)).unwrap();
            part(&mut scalar).run().unwrap();
            assert_eq!(bits(&vectorized.x), bits(&scalar.x), "{f} factors");
            simd::run(Equations { solver: &solver, indexes, weights, scratch: &mut long }).unwrap();
            for (short, long) in vectorized.x.iter().zip(&long.x) {
                assert!((short - long).abs() <= 1e-10 * (1.0 + long.abs()), "{f} factors: {short} {long}");
            }
        }
    }
}

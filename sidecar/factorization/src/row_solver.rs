//! One row of one side, with the other side fixed: training's inner step, and the fold-in of users that come later.

use ndarray::ArrayView2;
use thiserror::Error;

use crate::{
    cholesky,
    interactions::Evidence,
    params::ValidAlsParams,
    short_rows::ShortRow,
    simd::{self, Kernel},
    tile::{TILE, add_products, padded},
};

/// Why a row has no solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SolveError {
    /// The normal equations are singular or not finite.
    #[error("the normal equations are not positive definite: raise regularization, or check for extreme weights")]
    NotPositiveDefinite,
    /// A row that does not fit f32.
    #[error(
        "the solution is not finite in single precision: lower extreme weights (of bpr learningRate) or raise regularization"
    )]
    NotFinite,
    /// An index of the fixed side that does not exist.
    #[error("index {index} is outside 0..{bound}")]
    OutOfRange {
        /// The index given.
        index: u32,
        /// Rows of the fixed side.
        bound: usize,
    },
    /// Indexes that do not ascend, or one that comes twice.
    #[error("index {index} does not come after the one before it: sort entries and merge those of one index")]
    NotAscending {
        /// The index given.
        index: u32,
    },
    /// A weight that is NaN or infinite.
    #[error("a weight is not a finite number")]
    WeightNotFinite,
    /// Indexes and weights that are not of one length.
    #[error("{indexes} indexes come with {weights} weights: expected one weight for each index")]
    Lengths {
        /// How many indexes.
        indexes: usize,
        /// How many weights.
        weights: usize,
    },
    /// Biases that do not belong to the fixed side.
    #[error("{biases} biases come with {rows} rows: expected one bias for each row")]
    Biases {
        /// How many biases.
        biases: usize,
        /// Rows of the fixed side.
        rows: usize,
    },
    /// Counts that do not belong to the items.
    #[error("{counts} counts come with {items} items: expected one for each item")]
    Counts {
        /// How many counts.
        counts: usize,
        /// How many items.
        items: usize,
    },
    /// Parameters of one kind of model with the parts of another.
    #[error("the model's parts are not those of its algorithm: biases belong to a model of ratings, and to no other")]
    Kind,
    /// Matrices that do not belong together.
    #[error("the fixed side is {rows} × {columns} and gram {gram:?}, expected {factors} columns, in rows one by one")]
    Shape {
        /// Rows of the fixed side.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Shape of the Gram matrix.
        gram: (usize, usize),
        /// Factors that the parameters say.
        factors: usize,
    },
}

/// Solves rows against a fixed side (`rows × factors`) and its Gram matrix; the crate's page states the equations.
///
/// It borrows its parts, so it works on a model in memory as well as on one mapped from a file; making one is cheap.
#[derive(Clone, Copy, Debug)]
pub struct RowSolver<'a> {
    /// rows × stride, one row after the other; factors are the first columns.
    fixed: &'a [f32],
    stride: usize,
    rows: usize,
    /// Rows that count as cells of a row: all but those of items that nobody has met.
    cells: usize,
    /// factors × factors.
    gram: &'a [f64],
    /// Whether the Gram matrix has nothing beside its diagonal, as those of [`crate::fit_als`].
    diagonal: bool,
    pub(crate) params: &'a ValidAlsParams,
}

/// Rows of the fixed side that are made wide and multiplied together.
pub(crate) const BLOCK_ROWS: usize = 32;

/// Buffers of one thread, padded as [`crate::tile`] says. Padding of `wide` and `weighted` stays 0.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub(crate) matrix: Vec<f64>,
    pub(crate) x: Vec<f64>,
    pub(crate) wide: Vec<f64>,
    weighted: Vec<f64>,
    /// Of the matrix without entries.
    pub(crate) diagonal: Vec<f64>,
    /// A number for each entry of a short row.
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
            wide: block(),
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
    /// `fixed` is rows × factors, `gram` factors × factors, both in standard (row-major, contiguous) layout.
    ///
    /// # Errors
    /// [`SolveError::Shape`].
    pub fn new(
        fixed: ArrayView2<'a, f32>,
        gram: ArrayView2<'a, f64>,
        params: &'a ValidAlsParams,
    ) -> Result<Self, SolveError> {
        let factors = params.factors();
        let (rows, columns) = fixed.dim();
        match (fixed.to_slice(), gram.to_slice()) {
            (Some(fixed), Some(gram_slice)) if columns == factors && gram.dim() == (factors, factors) => {
                let diagonal = is_diagonal(gram_slice, factors);
                Ok(Self { fixed, stride: factors, rows, cells: rows, gram: gram_slice, diagonal, params })
            }
            _ => Err(SolveError::Shape { rows, columns, gram: gram.dim(), factors }),
        }
    }

    /// For rows of the fixed side that are padded to `stride`.
    pub(crate) fn padded(fixed: &'a [f32], stride: usize, gram: &'a [f64], params: &'a ValidAlsParams) -> Self {
        let diagonal = is_diagonal(gram, params.factors());
        let rows = fixed.len() / stride;
        Self { fixed, stride, rows, cells: rows, gram, diagonal, params }
    }

    /// The same without the last rows of the fixed side among the cells of a row: nobody has met these items, and the Gram matrix is
    /// without them.
    #[must_use]
    pub fn without_last(self, rows: usize) -> Self {
        Self { cells: self.rows.saturating_sub(rows), ..self }
    }

    /// The same on other rows of the fixed side, one after the other: some of them, as they were when the Gram matrix was made.
    pub(crate) fn of_rows<'b>(&'b self, fixed: &'b [f32]) -> RowSolver<'b> {
        let stride = self.params.factors();
        RowSolver { fixed, stride, rows: fixed.len() / stride, ..*self }
    }

    /// A row of the fixed side.
    #[inline(always)]
    pub(crate) fn fixed_row(&self, index: u32) -> &'a [f32] {
        &self.fixed[index as usize * self.stride..][..self.params.factors()]
    }

    /// The diagonal of the matrix of a row with this many entries, without what they add.
    #[inline(always)]
    pub(crate) fn write_diagonal(&self, entries: usize, diagonal: &mut [f64]) {
        let (alpha, lambda) = (self.params.unobserved_weight(), self.params.row_regularization(entries, self.cells));
        for (to, gram) in diagonal.iter_mut().zip(self.gram.iter().step_by(self.params.factors() + 1)) {
            *to = alpha.mul_add(*gram, lambda);
        }
    }

    /// The row (factors) for these entries of the fixed side, ascending in index and each index once.
    ///
    /// # Errors
    /// Entries that are out of range, out of order or not finite, or equations that cannot be solved.
    pub fn solve(&self, indexes: &[u32], weights: &[f32]) -> Result<Vec<f32>, SolveError> {
        check_entries(indexes, weights, self.rows)?;
        let mut row = vec![0.0; self.params.factors()];
        self.solve_into(indexes, weights, &mut Scratch::new(self.params.factors()), &mut row)?;
        Ok(row)
    }

    /// As [`Self::solve`], for entries in any order: those of one index merge as those of one pair do in
    /// [`crate::Interactions::from_entries`], so the same history gives the same row, bit for bit.
    ///
    /// # Errors
    /// As [`Self::solve`].
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

    /// As [`Self::solve`], for entries that are known to be good, into `row` (factors). Gives what the row's terms of the
    /// objective come to at their minimum: −bᵀx, before x is rounded.
    pub(crate) fn solve_into(
        &self,
        indexes: &[u32],
        weights: &[f32],
        scratch: &mut Scratch,
        row: &mut [f32],
    ) -> Result<f64, SolveError> {
        if indexes.is_empty() {
            // b = 0, and the matrix is positive definite or arbitrary: 0 is the minimizer of least norm.
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
            let narrow = *from as f32;
            *to = narrow;
        }
        if row.iter().any(|factor| !factor.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(terms)
    }

    /// Leaves the factor of the matrix of a row with these entries in `scratch.matrix`. They are known to be good.
    pub(crate) fn factor(&self, indexes: &[u32], weights: &[f32], scratch: &mut Scratch) -> Result<(), SolveError> {
        simd::run(Equations { solver: self, indexes, weights, scratch }).map(|_| ())
    }
}

/// Whether a square matrix has nothing beside its diagonal.
fn is_diagonal(matrix: &[f64], order: usize) -> bool {
    matrix.iter().enumerate().all(|(place, x)| place % (order + 1) == 0 || *x == 0.0)
}

/// Whether there is a count for each item.
pub(crate) fn check_counts(counts: &[u32], items: usize) -> Result<(), SolveError> {
    if counts.len() == items { Ok(()) } else { Err(SolveError::Counts { counts: counts.len(), items }) }
}

/// Whether these can be entries of a row: as many weights as indexes, in range, ascending, finite.
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

/// One row's equations, made and solved.
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
        let Self { solver, indexes, weights, scratch: Scratch { matrix, x, wide, weighted, .. } } = self;
        let f = solver.params.factors();
        let order = padded(f);
        let lambda = solver.params.row_regularization(indexes.len(), solver.cells);
        start_matrix(matrix, solver.gram, f, solver.params.unobserved_weight(), lambda);
        x.fill(0.0);
        for (indexes, weights) in indexes.chunks(BLOCK_ROWS).zip(weights.chunks(BLOCK_ROWS)) {
            let lines = wide.chunks_exact_mut(order).zip(weighted.chunks_exact_mut(order));
            for ((&index, &weight), (line, weighted)) in indexes.iter().zip(weights).zip(lines) {
                let Evidence { a, b } = solver.params.evidence(weight);
                let fixed = solver.fixed_row(index);
                for (((line, weighted), x), &v) in line.iter_mut().zip(weighted).zip(&mut *x).zip(fixed) {
                    let v = f64::from(v);
                    *line = v;
                    *weighted = a * v;
                    *x = b.mul_add(v, *x);
                }
            }
            let used = indexes.len() * order;
            add_products(matrix, order, &wide[..used], &weighted[..used]);
        }
        let product = cholesky::solve(matrix, x).map_err(|_| SolveError::NotPositiveDefinite)?;
        Ok(-product)
    }
}

/// α₀G + λI in the upper triangle, and the identity in the padding.
#[inline(always)]
fn start_matrix(matrix: &mut [f64], gram: &[f64], f: usize, alpha: f64, lambda: f64) {
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
            #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
            let fixed = Array2::from_shape_fn((200, f), |(i, j)| normal(1, i as u64, j as u64) as f32);
            let full = gram(fixed.view());
            let diagonal = Array2::from_diag(&full.diag());
            let indexes: Vec<u32> = (0..200).step_by(3).collect();
            let weights: Vec<f32> = (0_u8..67).map(|i| f32::from(i % 5) - 1.0).collect();
            let bits = |row: &[f64]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            for gram in [&full, &diagonal] {
                let solver = RowSolver::new(fixed.view(), gram.view(), &params).unwrap();
                let part = |scratch| Equations { solver: &solver, indexes: &indexes, weights: &weights, scratch };
                let (mut wide, mut narrow) = (Scratch::new(f), Scratch::new(f));
                simd::run(part(&mut wide)).unwrap();
                part(&mut narrow).run().unwrap();
                assert_eq!(bits(&wide.x), bits(&narrow.x), "{f} factors");
            }
            let solver = RowSolver::new(fixed.view(), diagonal.view(), &params).unwrap();
            let (indexes, weights) = (&indexes[..f.min(67)], &weights[..f.min(67)]);
            let part = |scratch| ShortRow { solver: &solver, indexes, weights, scratch };
            let (mut wide, mut narrow, mut long) = (Scratch::new(f), Scratch::new(f), Scratch::new(f));
            simd::run(part(&mut wide)).unwrap();
            part(&mut narrow).run().unwrap();
            assert_eq!(bits(&wide.x), bits(&narrow.x), "{f} factors");
            simd::run(Equations { solver: &solver, indexes, weights, scratch: &mut long }).unwrap();
            for (short, long) in wide.x.iter().zip(&long.x) {
                assert!((short - long).abs() <= 1e-10 * (1.0 + long.abs()), "{f} factors: {short} {long}");
            }
        }
    }
}

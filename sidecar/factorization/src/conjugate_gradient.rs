//! Solves rows of ALS by conjugate gradients, in the basis in which the Gram matrix of the fixed
//! side is diagonal.
//!
//! A row's matrix is D + Σ a·v vᵀ; for implicit data D = α₀VᵀV + λ(n + α₀N)^ν I. Takács, Pilászy
//! and Tikk 2011 multiply by VᵀV in every step. With V rotated into the eigenbasis of VᵀV, D is
//! diagonal: a step costs 4·n·factors operations and nothing quadratic in the factors. The rotation
//! is one matrix product for all rows, and the diagonal is a good (Jacobi) preconditioner. For
//! ratings D is diagonal in any basis; there the rotation serves only the preconditioner.

use ndarray::Array2;

use crate::{
    aligned,
    interactions::CellWeights,
    params::ValidAlsParams,
    row_solver::SolveError,
    simd::{self, Kernel},
};

/// Lanes of every sum; factor rows are padded to a multiple of it.
pub(crate) const LANES: usize = 16;
/// Entries whose inner products are computed together, so that their latencies overlap.
const ENTRIES: usize = 4;
/// How many entries ahead rows are prefetched.
const AHEAD: usize = 12;
/// A residual this small relative to the initial one (both squared and preconditioned) is rounding
/// error.
const CONVERGED: f64 = 1e-13;

type Lanes = [f32; LANES];

/// Width of a padded row.
pub(crate) const fn padded(factors: usize) -> usize {
    factors.next_multiple_of(LANES)
}

/// Objective of a row that has entries: Σ (a·ŷ² − 2b·ŷ) + Σ d·x² + a constant.
pub(crate) trait RowObjective {
    /// Writes d (0 in the padding) and appends a and b of each entry in order. Returns the
    /// constant.
    ///
    /// # Errors
    /// A dimension of the row is undetermined.
    fn write_terms(
        &self,
        indexes: &[u32],
        diagonal: &mut [f32],
        cell_weights: &mut CellWeightBuffer,
    ) -> Result<f64, SolveError>;
}

/// Row objective of implicit data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'a> {
    /// Weights of the entries.
    pub(crate) entries: &'a [f32],
    /// α₀Λ, with the eigenvalues Λ of the fixed side's Gram matrix (padded factors); 0 in the
    /// padding.
    pub(crate) weighted_eigenvalues: &'a [f32],
    /// Number of rows of the fixed side.
    pub(crate) length: usize,
    pub(crate) params: &'a ValidAlsParams,
}

impl RowObjective for Weights<'_> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rows are solved in single precision")]
    fn write_terms(
        &self,
        indexes: &[u32],
        diagonal: &mut [f32],
        cell_weights: &mut CellWeightBuffer,
    ) -> Result<f64, SolveError> {
        for &weight in self.entries {
            let CellWeights { quadratic, linear } = self.params.cell_weights(weight);
            cell_weights.push(quadratic as f32, linear as f32);
        }
        let lambda = self.params.row_regularization(indexes.len(), self.length) as f32;
        for (d, value) in diagonal.iter_mut().zip(self.weighted_eigenvalues) {
            *d = lambda + value;
        }
        if diagonal[..self.params.factors()].iter().any(|d| *d <= 0.0) {
            // The fixed side is 0 in a dimension without regularization, so the row is undetermined
            // there.
            return Err(SolveError::NotPositiveDefinite);
        }
        Ok(0.0)
    }
}

/// Buffers of one thread; each holds padded rows.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    /// Diagonal, its inverse, residual, direction and image.
    rows: Array2<f32>,
    cell_weights: CellWeightBuffer,
}

/// a and b of each entry of a row, in separate buffers that grow to the longest row.
#[derive(Clone, Debug, Default)]
pub(crate) struct CellWeightBuffer {
    quadratic: Vec<f32>,
    linear: Vec<f32>,
}

impl CellWeightBuffer {
    pub(crate) fn push(&mut self, quadratic: f32, linear: f32) {
        self.quadratic.push(quadratic);
        self.linear.push(linear);
    }

    fn clear(&mut self) {
        self.quadratic.clear();
        self.linear.clear();
    }

    /// a and b in blocks of [`ENTRIES`], padded with zeros.
    fn blocks(&mut self) -> (&[[f32; ENTRIES]], &[[f32; ENTRIES]]) {
        for values in [&mut self.quadratic, &mut self.linear] {
            values.resize(values.len().next_multiple_of(ENTRIES), 0.0);
        }
        (self.quadratic.as_chunks().0, self.linear.as_chunks().0)
    }
}

impl Buffers {
    /// Buffers for rows of `width` padded factors.
    pub(crate) fn new(width: usize) -> Self {
        Self { rows: aligned::zeros(5, width), cell_weights: CellWeightBuffer::default() }
    }
}

/// One row to improve by at most `steps` conjugate gradient steps from its current value.
#[derive(Debug)]
pub(crate) struct CgRow<'a, T> {
    /// The fixed side: rows × padded factors.
    pub(crate) fixed: &'a [f32],
    pub(crate) indexes: &'a [u32],
    /// These indexes and those of the next rows, for prefetching.
    pub(crate) upcoming: &'a [u32],
    pub(crate) row_objective: T,
    pub(crate) steps: u32,
    pub(crate) buffers: &'a mut Buffers,
    /// Padded factors.
    pub(crate) row: &'a mut [f32],
}

impl<T: RowObjective> CgRow<'_, T> {
    /// Runs the steps and returns the row's terms of the objective.
    ///
    /// # Errors
    /// The row is not finite in single precision or its matrix is not positive definite.
    pub(crate) fn solve(self) -> Result<f64, SolveError> {
        simd::run(self)
    }
}

impl<T: RowObjective> Kernel for CgRow<'_, T> {
    type Output = Result<f64, SolveError>;

    #[inline(always)]
    fn run(self) -> Result<f64, SolveError> {
        match self.row.len() {
            // Loops over widths known at compile time are unrolled.
            16 => self.run_width::<16>(),
            32 => self.run_width::<32>(),
            64 => self.run_width::<64>(),
            _ => self.run_width::<0>(),
        }
    }
}

impl<T: RowObjective> CgRow<'_, T> {
    /// `W` is the width of the row, or 0 for any width.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the row is in single precision")]
    fn run_width<const W: usize>(self) -> Result<f64, SolveError> {
        let Self { fixed: rows, indexes, upcoming, row_objective, steps, buffers, row } = self;
        let width = if W == 0 { row.len() } else { W };
        let Buffers { rows: buffers, cell_weights } = buffers;
        let buffers = buffers.as_slice_mut().expect("buffers are in standard layout");
        let (diagonal, buffers) = buffers.split_at_mut(width);
        let (inverse, buffers) = buffers.split_at_mut(width);
        let (residual, buffers) = buffers.split_at_mut(width);
        let (direction, image) = buffers.split_at_mut(width);
        let (image, x) = (&mut image[..width], &mut row[..width]);
        if indexes.is_empty() {
            // The same as in `RowSolver`.
            x.fill(0.0);
            return Ok(0.0);
        }
        cell_weights.clear();
        let constant = row_objective.write_terms(indexes, diagonal, cell_weights)?;
        let (a_blocks, b_blocks) = cell_weights.blocks();
        for i in 0..width {
            inverse[i] = diagonal[i];
            residual[i] = -(diagonal[i] * x[i]);
        }
        // r = Σ (b − a⟨v, x⟩) v − Dx, the diagonal of the whole matrix, and the initial objective,
        // in one pass.
        let mut objective = constant - dot(residual, x);
        let blocks = indexes.chunks(ENTRIES).zip(a_blocks.iter().zip(b_blocks));
        for (block, (indexes, (&a, &b))) in blocks.enumerate() {
            let ahead = block * ENTRIES + AHEAD;
            for &index in upcoming.get(ahead..ahead + ENTRIES).unwrap_or_default() {
                for lanes in rows[index as usize * width..(index as usize + 1) * width].chunks_exact(LANES) {
                    simd::prefetch(lanes);
                }
            }
            let vectors = vectors(rows, indexes, width);
            let products = products(vectors, x);
            let (mut coefficients, mut terms) = (b, [0.0; ENTRIES]);
            for entry in 0..ENTRIES {
                coefficients[entry] = (-a[entry]).mul_add(products[entry], b[entry]);
                terms[entry] = (coefficients[entry] + b[entry]) * products[entry];
            }
            let [t0, t1, t2, t3] = terms.map(f64::from);
            objective -= (t0 + t1) + (t2 + t3);
            add_scaled(vectors, coefficients, residual);
            add_squares(vectors, a, inverse);
        }
        for inverse in inverse.iter_mut() {
            // The diagonal may be 0 in the padding, where all other values are 0, too.
            *inverse = if *inverse > 0.0 { 1.0 / *inverse } else { 0.0 };
        }
        for i in 0..width {
            direction[i] = inverse[i] * residual[i];
        }
        let mut norm = dot(residual, direction);
        let tolerance = CONVERGED * norm;
        for _ in 0..steps {
            if norm <= tolerance {
                break;
            }
            // image = −Ap.
            for i in 0..width {
                image[i] = -(diagonal[i] * direction[i]);
            }
            for (indexes, a) in indexes.chunks(ENTRIES).zip(a_blocks) {
                let vectors = vectors(rows, indexes, width);
                let products = products(vectors, direction);
                let mut coefficients = *a;
                for entry in 0..ENTRIES {
                    coefficients[entry] *= -products[entry];
                }
                add_scaled(vectors, coefficients, image);
            }
            let curvature = -dot(direction, image);
            if curvature <= 0.0 {
                return Err(SolveError::NotPositiveDefinite);
            }
            let step_size = norm / curvature;
            objective -= step_size * norm;
            let step = step_size as f32;
            for i in 0..width {
                x[i] = step.mul_add(direction[i], x[i]);
                residual[i] = step.mul_add(image[i], residual[i]);
                image[i] = inverse[i] * residual[i];
            }
            let next = dot(residual, image);
            let beta = (next / norm) as f32;
            norm = next;
            for i in 0..width {
                direction[i] = beta.mul_add(direction[i], image[i]);
            }
        }
        if x.iter().any(|factor| !factor.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(objective)
    }
}

/// The vectors of up to four entries; the first one is repeated for missing entries.
#[inline(always)]
fn vectors<'a>(rows: &'a [f32], indexes: &[u32], width: usize) -> [&'a [f32]; ENTRIES] {
    let at = |entry: usize| {
        let index = if entry < indexes.len() { indexes[entry] } else { indexes[0] } as usize;
        &rows[index * width..(index + 1) * width]
    };
    [at(0), at(1), at(2), at(3)]
}

/// Inner products of the vectors with `x`.
#[inline(always)]
fn products([v0, v1, v2, v3]: [&[f32]; ENTRIES], x: &[f32]) -> [f32; ENTRIES] {
    let [mut s0, mut s1, mut s2, mut s3] = [[0.0; LANES]; ENTRIES];
    for i in (0..x.len()).step_by(LANES) {
        let x = load(x, i);
        s0 = multiply_add(x, load(v0, i), s0);
        s1 = multiply_add(x, load(v1, i), s1);
        s2 = multiply_add(x, load(v2, i), s2);
        s3 = multiply_add(x, load(v3, i), s3);
    }
    // Without this barrier, the compiler chooses the vectors of the sums below for the loop above,
    // too; they are a quarter as wide.
    simd::sums(std::hint::black_box([s0, s1, s2, s3]))
}

/// to ← to + Σ coefficient·v. The compiler vectorizes a plain loop over elements best.
#[inline(always)]
fn add_scaled([v0, v1, v2, v3]: [&[f32]; ENTRIES], [w0, w1, w2, w3]: [f32; ENTRIES], to: &mut [f32]) {
    let width = to.len();
    let (v0, v1, v2, v3) = (&v0[..width], &v1[..width], &v2[..width], &v3[..width]);
    for i in 0..width {
        to[i] = w3.mul_add(v3[i], w2.mul_add(v2[i], w1.mul_add(v1[i], w0.mul_add(v0[i], to[i]))));
    }
}

/// to ← to + Σ weight·v².
#[inline(always)]
fn add_squares([v0, v1, v2, v3]: [&[f32]; ENTRIES], [w0, w1, w2, w3]: [f32; ENTRIES], to: &mut [f32]) {
    let width = to.len();
    let (v0, v1, v2, v3) = (&v0[..width], &v1[..width], &v2[..width], &v3[..width]);
    for i in 0..width {
        let two = (w1 * v1[i]).mul_add(v1[i], (w0 * v0[i]).mul_add(v0[i], to[i]));
        to[i] = (w3 * v3[i]).mul_add(v3[i], (w2 * v2[i]).mul_add(v2[i], two));
    }
}

#[inline(always)]
fn load(row: &[f32], at: usize) -> Lanes {
    *row[at..].first_chunk().expect("padded rows are a multiple of the lanes")
}

#[inline(always)]
fn multiply_add(x: Lanes, y: Lanes, mut sums: Lanes) -> Lanes {
    for lane in 0..LANES {
        sums[lane] = x[lane].mul_add(y[lane], sums[lane]);
    }
    sums
}

#[inline(always)]
fn dot(x: &[f32], y: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    for i in (0..x.len()).step_by(LANES) {
        sums = multiply_add(load(x, i), load(y, i), sums);
    }
    let [sum, ..] = simd::sums([std::hint::black_box(sums), [0.0; LANES], [0.0; LANES], [0.0; LANES]]);
    f64::from(sum)
}

#[cfg(test)]
// The lifetimes of the methods are not general enough to pass them without a closure.
#[allow(clippy::redundant_closure_for_method_calls)]
mod tests {
    use super::*;
    use crate::{
        params::AlsParams,
        random::normal,
        row_solver::{RowSolver, Scratch},
    };

    /// A row with 67 entries whose fixed side's Gram matrix is replaced by the diagonal `values`.
    fn row(
        factors: u32,
        steps: u32,
        run: impl Fn(CgRow<'_, Weights<'_>>) -> Result<f64, SolveError>,
    ) -> (Vec<f32>, f64, Vec<f32>, f64) {
        // The condition number is below 1,000.
        let params = AlsParams { factors, regularization: 0.03, ..AlsParams::default() }.check().unwrap();
        let (f, width) = (params.factors(), padded(factors as usize));
        #[expect(clippy::cast_possible_truncation, reason = "test data may be rounded")]
        let fixed = Array2::from_shape_fn(
            (200, width),
            |(i, j)| {
                if j < f { normal(1, i as u64, j as u64) as f32 } else { 0.0 }
            },
        );
        let fixed = fixed.as_slice().unwrap();
        let values: Vec<f64> = (0..f).map(|i| 200.0 / (1.0 + i as f64)).collect();
        #[expect(clippy::cast_possible_truncation, reason = "the fit truncates, too")]
        let weighted_eigenvalues: Vec<f32> =
            (0..width).map(|i| values.get(i).map_or(0.0, |v| (params.unobserved_weight() * v) as f32)).collect();
        let indexes: Vec<u32> = (0..200).step_by(3).collect();
        let weights: Vec<f32> = (0_u8..67).map(|i| f32::from(i % 5) - 1.0).collect();
        let (mut buffers, mut solution) = (Buffers::new(width), vec![0.0; width]);
        solution[..f].fill(0.1);
        let objective = run(CgRow {
            fixed,
            indexes: &indexes,
            upcoming: &indexes,
            row_objective: Weights {
                entries: &weights,
                weighted_eigenvalues: &weighted_eigenvalues,
                length: 200,
                params: &params,
            },
            steps,
            buffers: &mut buffers,
            row: &mut solution,
        })
        .unwrap();
        let gram = Array2::from_diag(&ndarray::Array1::from(values));
        let (mut scratch, mut exact) = (Scratch::new(f), vec![0.0; f]);
        let minimum = RowSolver::padded(fixed, width, gram.as_slice().unwrap(), &params)
            .solve_into(&indexes, &weights, &mut scratch, &mut exact)
            .unwrap();
        (solution, objective, exact, minimum)
    }

    #[test]
    fn many_steps_converge_to_the_exact_row() {
        for factors in [1, 5, 16, 24, 40, 64, 100] {
            let (row, objective, exact, minimum) = row(factors, 100, |cg_row| cg_row.solve());
            assert!((objective - minimum).abs() <= 1e-5 * minimum.abs(), "{factors} factors: {objective} {minimum}");
            for (x, exact) in row.iter().zip(&exact) {
                assert!((x - exact).abs() <= 1e-4 * (1.0 + exact.abs()), "{factors} factors: {x} {exact}");
            }
            assert!(row[exact.len()..].iter().all(|x| *x == 0.0), "{factors} factors: the padding stays 0");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for factors in [1, 16, 24, 32, 64, 100] {
            let (vectorized, scalar) =
                (row(factors, 3, |cg_row| cg_row.solve()), row(factors, 3, |cg_row| cg_row.run()));
            let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                (bits(&vectorized.0), vectorized.1.to_bits()),
                (bits(&scalar.0), scalar.1.to_bits()),
                "{factors} factors"
            );
        }
    }
}

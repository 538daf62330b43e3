//! Rows of ALS by conjugate gradients, in the basis in which the Gram matrix of the fixed side is diagonal.
//!
//! A row's matrix is D + Σ a·v vᵀ, for implicit data with D = α₀VᵀV + λ(n + α₀N)^ν I. Takács, Pilászy and Tikk 2011 multiply by
//! VᵀV in every step; with V rotated into the eigenvectors of VᵀV, D is diagonal, so a step costs 4·n·factors operations and nothing
//! quadratic in the factors. The rotation is one matrix product for all rows, and the diagonal makes a good preconditioner
//! (Jacobi's). Ratings have a D that is diagonal in any basis; there the rotation is for the preconditioner alone.

use ndarray::Array2;

use crate::{
    aligned,
    interactions::Evidence,
    params::ValidAlsParams,
    row_solver::SolveError,
    simd::{self, Kernel},
};

/// Lanes of every sum; factor rows are padded to whole lanes.
pub(crate) const LANES: usize = 16;
/// Entries whose inner products are taken together, so that their latencies overlap.
const ENTRIES: usize = 4;
/// Entries that are fetched from memory ahead of their turn.
const AHEAD: usize = 12;
/// A residual this small against the first, both squared and preconditioned, is rounding.
const CONVERGED: f64 = 1e-13;

type Lanes = [f32; LANES];

/// The width of a padded row.
pub(crate) const fn padded(factors: usize) -> usize {
    factors.next_multiple_of(LANES)
}

/// What a row minimizes, Σ (a·ŷ² − 2b·ŷ) + Σ d·x² + a constant, for rows that have entries.
pub(crate) trait Terms {
    /// Writes d (0 in the padding), and appends a and b of each entry in their order. Gives the constant.
    ///
    /// # Errors
    /// A dimension that nothing decides.
    fn start(&self, indexes: &[u32], diagonal: &mut [f32], evidence: &mut Pairs) -> Result<f64, SolveError>;
}

/// Those of implicit data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'a> {
    /// Weights of the entries.
    pub(crate) entries: &'a [f32],
    /// α₀Λ with the eigenvalues of the fixed side's Gram matrix, padded factors; 0 in the padding.
    pub(crate) weighted_values: &'a [f32],
    /// How many rows the fixed side has.
    pub(crate) length: usize,
    pub(crate) params: &'a ValidAlsParams,
}

impl Terms for Weights<'_> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rows are solved in single precision")]
    fn start(&self, indexes: &[u32], diagonal: &mut [f32], evidence: &mut Pairs) -> Result<f64, SolveError> {
        for &weight in self.entries {
            let Evidence { a, b } = self.params.evidence(weight);
            evidence.push(a as f32, b as f32);
        }
        let lambda = self.params.row_regularization(indexes.len(), self.length) as f32;
        for (d, value) in diagonal.iter_mut().zip(self.weighted_values) {
            *d = lambda + value;
        }
        if diagonal[..self.params.factors()].iter().any(|d| *d <= 0.0) {
            // A dimension that no row of the fixed side has, and nothing that decides what this row has of it.
            return Err(SolveError::NotPositiveDefinite);
        }
        Ok(0.0)
    }
}

/// Buffers of one thread, each a padded row.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    /// Diagonal, its inverse, residual, direction and image.
    rows: Array2<f32>,
    evidence: Pairs,
}

/// a and b of each entry of a row, apart; as long as the longest row so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Pairs {
    pub(crate) fn push(&mut self, a: f32, b: f32) {
        self.a.push(a);
        self.b.push(b);
    }

    fn clear(&mut self) {
        self.a.clear();
        self.b.clear();
    }

    /// In fours, with zeros for those that are missing.
    fn blocks(&mut self) -> (&[[f32; ENTRIES]], &[[f32; ENTRIES]]) {
        for values in [&mut self.a, &mut self.b] {
            values.resize(values.len().next_multiple_of(ENTRIES), 0.0);
        }
        (self.a.as_chunks().0, self.b.as_chunks().0)
    }
}

impl Buffers {
    /// For rows of so many padded factors.
    pub(crate) fn new(width: usize) -> Self {
        Self { rows: aligned::zeros(5, width), evidence: Pairs::default() }
    }
}

/// Improves a row by at most `steps` steps from where it stands. Gives what the row's terms of the objective come to.
#[derive(Debug)]
pub(crate) struct Descent<'a, T> {
    /// The fixed side: rows × padded factors.
    pub(crate) fixed: &'a [f32],
    pub(crate) indexes: &'a [u32],
    /// These indexes and those of the rows that come next, which are fetched from memory early.
    pub(crate) upcoming: &'a [u32],
    pub(crate) terms: T,
    pub(crate) steps: u32,
    pub(crate) buffers: &'a mut Buffers,
    /// Padded factors.
    pub(crate) row: &'a mut [f32],
}

impl<T: Terms> Descent<'_, T> {
    /// Does it.
    ///
    /// # Errors
    /// A row that is not finite in single precision.
    pub(crate) fn solve(self) -> Result<f64, SolveError> {
        simd::run(self)
    }
}

impl<T: Terms> Kernel for Descent<'_, T> {
    type Output = Result<f64, SolveError>;

    #[inline(always)]
    fn run(self) -> Result<f64, SolveError> {
        match self.row.len() {
            // Widths that are known unroll.
            16 => self.run_width::<16>(),
            32 => self.run_width::<32>(),
            64 => self.run_width::<64>(),
            _ => self.run_width::<0>(),
        }
    }
}

impl<T: Terms> Descent<'_, T> {
    /// `W` is the width of the row, or 0 if any.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the row is in single precision")]
    fn run_width<const W: usize>(self) -> Result<f64, SolveError> {
        let Self { fixed: rows, indexes, upcoming, terms, steps, buffers, row } = self;
        let width = if W == 0 { row.len() } else { W };
        let Buffers { rows: buffers, evidence } = buffers;
        let buffers = buffers.as_slice_mut().expect("buffers are in standard layout");
        let (diagonal, buffers) = buffers.split_at_mut(width);
        let (inverse, buffers) = buffers.split_at_mut(width);
        let (residual, buffers) = buffers.split_at_mut(width);
        let (direction, image) = buffers.split_at_mut(width);
        let (image, x) = (&mut image[..width], &mut row[..width]);
        if indexes.is_empty() {
            // As `RowSolver` has it.
            x.fill(0.0);
            return Ok(0.0);
        }
        evidence.clear();
        let constant = terms.start(indexes, diagonal, evidence)?;
        let (a_blocks, b_blocks) = evidence.blocks();
        for i in 0..width {
            inverse[i] = diagonal[i];
            residual[i] = -(diagonal[i] * x[i]);
        }
        // r = Σ (b − a⟨v, x⟩) v − Dx, the diagonal of the whole matrix, and the objective where it starts, in one pass.
        let mut objective = constant - dot(residual, x);
        let blocks = indexes.chunks(ENTRIES).zip(a_blocks.iter().zip(b_blocks));
        for (place, (indexes, (&a, &b))) in blocks.enumerate() {
            let ahead = place * ENTRIES + AHEAD;
            for &index in upcoming.get(ahead..ahead + ENTRIES).unwrap_or_default() {
                for lanes in rows[index as usize * width..(index as usize + 1) * width].chunks_exact(LANES) {
                    simd::prefetch(lanes);
                }
            }
            let vectors = vectors(rows, indexes, width);
            let products = products(vectors, x);
            let (mut shares, mut terms) = (b, [0.0; ENTRIES]);
            for entry in 0..ENTRIES {
                shares[entry] = (-a[entry]).mul_add(products[entry], b[entry]);
                terms[entry] = (shares[entry] + b[entry]) * products[entry];
            }
            let [t0, t1, t2, t3] = terms.map(f64::from);
            objective -= (t0 + t1) + (t2 + t3);
            add_shares(vectors, shares, residual);
            add_squares(vectors, a, inverse);
        }
        for inverse in inverse.iter_mut() {
            // The padding may have nothing on its diagonal, and has 0 everywhere else.
            *inverse = if *inverse > 0.0 { 1.0 / *inverse } else { 0.0 };
        }
        for i in 0..width {
            direction[i] = inverse[i] * residual[i];
        }
        let mut norm = dot(residual, direction);
        let enough = CONVERGED * norm;
        for _ in 0..steps {
            if norm <= enough {
                break;
            }
            // −Ap.
            for i in 0..width {
                image[i] = -(diagonal[i] * direction[i]);
            }
            for (indexes, a) in indexes.chunks(ENTRIES).zip(a_blocks) {
                let vectors = vectors(rows, indexes, width);
                let products = products(vectors, direction);
                let mut shares = *a;
                for entry in 0..ENTRIES {
                    shares[entry] *= -products[entry];
                }
                add_shares(vectors, shares, image);
            }
            let curvature = -dot(direction, image);
            if curvature <= 0.0 {
                return Err(SolveError::NotPositiveDefinite);
            }
            let length = norm / curvature;
            objective -= length * norm;
            let step = length as f32;
            for i in 0..width {
                x[i] = step.mul_add(direction[i], x[i]);
                residual[i] = step.mul_add(image[i], residual[i]);
                image[i] = inverse[i] * residual[i];
            }
            let next = dot(residual, image);
            let keep = (next / norm) as f32;
            norm = next;
            for i in 0..width {
                direction[i] = keep.mul_add(direction[i], image[i]);
            }
        }
        if x.iter().any(|factor| !factor.is_finite()) {
            return Err(SolveError::NotFinite);
        }
        Ok(objective)
    }
}

/// The vectors of up to four entries; the first stands in for those that are missing.
#[inline(always)]
fn vectors<'a>(rows: &'a [f32], indexes: &[u32], width: usize) -> [&'a [f32]; ENTRIES] {
    let at = |entry: usize| {
        let index = if entry < indexes.len() { indexes[entry] } else { indexes[0] } as usize;
        &rows[index * width..(index + 1) * width]
    };
    [at(0), at(1), at(2), at(3)]
}

/// Their inner products with `x`.
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
    // Without a stop here, the compiler makes the lanes of the sums below those of the loop above, which are a quarter as wide.
    simd::sums(std::hint::black_box([s0, s1, s2, s3]))
}

/// to ← to + Σ share·v. A plain loop over elements is what the compiler makes vectors of best.
#[inline(always)]
fn add_shares([v0, v1, v2, v3]: [&[f32]; ENTRIES], [w0, w1, w2, w3]: [f32; ENTRIES], to: &mut [f32]) {
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
    *row[at..].first_chunk().expect("padded rows are whole lanes")
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
#[allow(clippy::redundant_closure_for_method_calls)] // The methods are not general enough in their lifetime.
mod tests {
    use super::*;
    use crate::{
        params::AlsParams,
        random::normal,
        row_solver::{RowSolver, Scratch},
    };

    /// Fixed rows of this width whose Gram matrix is taken for the diagonal `values`, and a row with 67 entries.
    fn row(
        factors: u32,
        steps: u32,
        run: impl Fn(Descent<'_, Weights<'_>>) -> Result<f64, SolveError>,
    ) -> (Vec<f32>, f64, Vec<f32>, f64) {
        // The condition number is below 1,000.
        let params = AlsParams { factors, regularization: 0.03, ..AlsParams::default() }.check().unwrap();
        let (f, width) = (params.factors(), padded(factors as usize));
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let fixed = Array2::from_shape_fn(
            (200, width),
            |(i, j)| {
                if j < f { normal(1, i as u64, j as u64) as f32 } else { 0.0 }
            },
        );
        let fixed = fixed.as_slice().unwrap();
        let values: Vec<f64> = (0..f).map(|i| 200.0 / (1.0 + i as f64)).collect();
        #[expect(clippy::cast_possible_truncation, reason = "as the fit has it")]
        let weighted_values: Vec<f32> =
            (0..width).map(|i| values.get(i).map_or(0.0, |v| (params.unobserved_weight() * v) as f32)).collect();
        let indexes: Vec<u32> = (0..200).step_by(3).collect();
        let weights: Vec<f32> = (0_u8..67).map(|i| f32::from(i % 5) - 1.0).collect();
        let (mut buffers, mut solution) = (Buffers::new(width), vec![0.0; width]);
        solution[..f].fill(0.1);
        let objective = run(Descent {
            fixed,
            indexes: &indexes,
            upcoming: &indexes,
            terms: Weights { entries: &weights, weighted_values: &weighted_values, length: 200, params: &params },
            steps,
            buffers: &mut buffers,
            row: &mut solution,
        })
        .unwrap();
        let gram = Array2::from_diag(&ndarray::Array1::from(values));
        let (mut scratch, mut exact) = (Scratch::new(f), vec![0.0; f]);
        let least = RowSolver::padded(fixed, width, gram.as_slice().unwrap(), &params)
            .solve_into(&indexes, &weights, &mut scratch, &mut exact)
            .unwrap();
        (solution, objective, exact, least)
    }

    #[test]
    fn many_steps_end_at_the_exact_row() {
        for factors in [1, 5, 16, 24, 40, 64, 100] {
            let (row, objective, exact, least) = row(factors, 100, |descent| descent.solve());
            assert!((objective - least).abs() <= 1e-5 * least.abs(), "{factors} factors: {objective} {least}");
            for (x, exact) in row.iter().zip(&exact) {
                assert!((x - exact).abs() <= 1e-4 * (1.0 + exact.abs()), "{factors} factors: {x} {exact}");
            }
            assert!(row[exact.len()..].iter().all(|x| *x == 0.0), "{factors} factors: the padding stays 0");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for factors in [1, 16, 24, 32, 64, 100] {
            let (wide, narrow) = (row(factors, 3, |descent| descent.solve()), row(factors, 3, |descent| descent.run()));
            let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&wide.0), wide.1.to_bits()), (bits(&narrow.0), narrow.1.to_bits()), "{factors} factors");
        }
    }
}

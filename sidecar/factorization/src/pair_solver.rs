//! Solves one user's row in Bayesian personalized ranking with the items fixed: the last step of
//! training, and the fold-in of new users.

use ndarray::ArrayView2;

use crate::{
    fold_in::{FoldIn, UserVector},
    influence::Influence,
    pairs::{sample_negative, step_user, systematic_sample},
    params::ValidBprParams,
    random::word,
    row_solver::SolveError,
    simd::{self, Kernel},
};

/// Maximum number of steps, which bounds the work of a request. Longer histories are sampled.
const STEPS_MAX: usize = 4096;
/// Seed of the draws. It differs from the training seed, so that fold-in does not need that seed.
const SEED: u64 = 0x0b9;

/// Minimizes the user's part of the objective (see the crate docs) from 0 as training does: the
/// number of passes over the history is the number of training iterations. The row is the mean over
/// the second half of the steps (Polyak and Juditsky 1992, "Acceleration of stochastic
/// approximation by averaging", SIAM J. Control Optim.), so it hardly depends on the draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairSolver<'a> {
    /// items × factors, in row-major order.
    fixed: &'a [f32],
    items: usize,
    /// Number of items that may be drawn as negatives: all but the cold-start items at the end.
    candidates: usize,
    params: &'a ValidBprParams,
}

impl<'a> PairSolver<'a> {
    pub(crate) fn new(fixed: ArrayView2<'a, f32>, params: &'a ValidBprParams) -> Result<Self, SolveError> {
        let (items, columns) = fixed.dim();
        match fixed.to_slice() {
            Some(slice) if columns == params.factors() => Ok(Self { fixed: slice, items, candidates: items, params }),
            _ => Err(SolveError::Shape { rows: items, columns, gram: (columns, columns), factors: params.factors() }),
        }
    }

    /// Solves the row of these entries, which must be valid.
    pub(crate) fn solve_into(&self, items: &[u32], values: &[f32], row: &mut [f32]) -> Result<(), SolveError> {
        simd::run(Solve { solver: self, items, values, row })
    }
}

impl FoldIn for PairSolver<'_> {
    fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<UserVector, SolveError> {
        let mut factors = vec![0.0; self.params.factors()];
        self.solve_into(items, values, &mut factors)?;
        Ok(UserVector::new(factors, 0.0))
    }

    /// The row is the result of descent, not a sum.
    fn influence(&self, _items: &[u32], _values: &[f32]) -> Result<Option<Influence>, SolveError> {
        Ok(None)
    }

    /// Cold-start items are not drawn as negatives.
    fn exclude_cold_items(&mut self, items: usize) {
        self.candidates = self.items.saturating_sub(items);
    }
}

struct Solve<'a> {
    solver: &'a PairSolver<'a>,
    items: &'a [u32],
    values: &'a [f32],
    row: &'a mut [f32],
}

impl Kernel for Solve<'_> {
    type Output = Result<(), SolveError>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { solver: &PairSolver { fixed, candidates, params, .. }, items, values, row } = self;
        let f = row.len();
        let step_size = params.step_size();
        let factors = |item: usize| &fixed[item * f..(item + 1) * f];
        let steps = items.len().saturating_mul(params.iterations() as usize).min(STEPS_MAX);
        let mut sums = vec![0.0_f64; f];
        let (mut step, mut summed) = (0, 0_u32);
        row.fill(0.0);
        for pass in 0.. {
            let sample = systematic_sample(values, word(SEED, pass, 0));
            for entry in sample.iter().take(steps - step) {
                if let Some(negative) = sample_negative((items, values), candidates, SEED, step as u64) {
                    step_user(row, factors(items[*entry as usize] as usize), factors(negative), step_size);
                }
                step += 1;
                if 2 * step > steps {
                    summed += 1;
                    for (sum, u) in sums.iter_mut().zip(&*row) {
                        *sum += f64::from(*u);
                    }
                }
            }
            if sample.is_empty() || step >= steps {
                break;
            }
        }
        for (to, sum) in row.iter_mut().zip(&sums) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            {
                *to = (sum / f64::from(summed.max(1))) as f32;
            }
        }
        if row.iter().all(|factor| factor.is_finite()) { Ok(()) } else { Err(SolveError::NotFinite) }
    }
}

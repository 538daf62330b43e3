//! One user's row in Bayesian personalized ranking, with the items fixed: training's last step, and the fold-in of users that come
//! later.

use ndarray::ArrayView2;

use crate::{
    pairs::{other_item, step_user, turns},
    params::ValidBprParams,
    random::word,
    row_solver::SolveError,
    simd::{self, Kernel},
};

/// Steps at most, so that a request's work does not grow with its history without end; a longer history is drawn from.
const STEPS_MAX: usize = 4096;
/// What draws are made of: not the training's seed, which a model does not need to be folded into.
const SEED: u64 = 0x0b9;

/// Descends the user's part of the objective on the crate's page, from 0, as training does: as many passes over the history as training
/// has sweeps. The row is the mean over the second half of the steps (Polyak and Juditsky 1992, "Acceleration of stochastic
/// approximation by averaging", SIAM J. Control Optim.), so that it hardly depends on what was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairSolver<'a> {
    /// items × factors, one row after the other.
    fixed: &'a [f32],
    items: usize,
    /// Items that may be what somebody did not choose: all but those that nobody could.
    known: usize,
    params: &'a ValidBprParams,
}

impl<'a> PairSolver<'a> {
    pub(crate) fn new(fixed: ArrayView2<'a, f32>, params: &'a ValidBprParams) -> Result<Self, SolveError> {
        let (items, columns) = fixed.dim();
        match fixed.to_slice() {
            Some(slice) if columns == params.factors() => Ok(Self { fixed: slice, items, known: items, params }),
            _ => Err(SolveError::Shape { rows: items, columns, gram: (columns, columns), factors: params.factors() }),
        }
    }

    /// The same, with the last items in nobody's way.
    pub(crate) fn without_last(self, items: usize) -> Self {
        Self { known: self.items.saturating_sub(items), ..self }
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// The row that these entries say, which are known to be good.
    pub(crate) fn solve_into(&self, items: &[u32], values: &[f32], row: &mut [f32]) -> Result<(), SolveError> {
        simd::run(Solve { solver: self, items, values, row })
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
        let Self { solver: &PairSolver { fixed, known, params, .. }, items, values, row } = self;
        let f = row.len();
        let pace = params.pace();
        let factors = |item: usize| &fixed[item * f..(item + 1) * f];
        let steps = items.len().saturating_mul(params.iterations() as usize).min(STEPS_MAX);
        let mut sums = vec![0.0_f64; f];
        let (mut step, mut summed) = (0, 0_u32);
        row.fill(0.0);
        for pass in 0.. {
            let turns = turns(values, word(SEED, pass, 0));
            for turn in turns.iter().take(steps - step) {
                if let Some(other) = other_item((items, values), known, SEED, step as u64) {
                    step_user(row, factors(items[*turn as usize] as usize), factors(other), pace);
                }
                step += 1;
                if 2 * step > steps {
                    summed += 1;
                    for (sum, u) in sums.iter_mut().zip(&*row) {
                        *sum += f64::from(*u);
                    }
                }
            }
            if turns.is_empty() || step >= steps {
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

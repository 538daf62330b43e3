//! Bayesian personalized ranking (Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009, "BPR:
//! Bayesian personalized ranking from implicit feedback", UAI): sequential stochastic gradient
//! descent on item pairs on one thread, then every user's row from their likes with the items
//! fixed.

use super::Algorithm;
use crate::{
    factor_rows::{check_finite, solve_rows, starting_factors},
    fit::{Fit, IterationReport, Progress, check_cold_start},
    fit_error::{FitError, Side},
    fold_in::{FoldIn, Parts},
    gram::gram,
    interactions::Interactions,
    memory::{EIGENBASIS_SQUARES, FitSize, total},
    model::Model,
    pair_solver::PairSolver,
    pairs::{StepSize, sample_negative, step_all, systematic_sample},
    params::{ValidBprParams, ValidParams},
    random::word,
    row_solver::SolveError,
    simd::{self, Kernel},
    warm_start::WarmStart,
};

/// Random streams of one seed: initial items, and one per iteration.
const ITEM_STREAM: u64 = 1;
const ITERATION_STREAM: u64 = 2;

impl Algorithm for ValidBprParams {
    fn factors(&self) -> usize {
        self.factors()
    }

    fn fit_bytes(&self, size: &FitSize) -> u64 {
        // The users and the sample order of entries take the place of the second orientation.
        let f = self.factors();
        total([size.factor_bytes(f, f), size.scratch_bytes(f), size.square_bytes(f, EIGENBASIS_SQUARES)])
    }

    fn fold_in<'a>(&'a self, parts: Parts<'a>) -> Result<Box<dyn FoldIn + 'a>, SolveError> {
        if parts.ratings.is_some() {
            return Err(SolveError::AlgorithmMismatch);
        }
        Ok(Box::new(PairSolver::new(parts.items, self)?))
    }
}

impl Fit for ValidBprParams {
    /// An iteration takes one step per entry. `progress` gets the mean of −ln σ over its pairs,
    /// each computed before its step, as the objective.
    fn fit(
        &self,
        interactions: &Interactions,
        seed: u64,
        warm_start: Option<&WarmStart<'_>>,
        progress: &mut Progress<'_>,
    ) -> Result<Model, FitError> {
        check_cold_start(interactions, warm_start)?;
        let f = self.factors();
        let mut users = starting_factors(interactions.users(), f, seed, 1.0, f);
        let mut items = starting_factors(interactions.items(), f, word(seed, ITEM_STREAM, 0), 1.0, f);
        let user_of: Vec<u32> = (0_u32..)
            .zip(interactions.offsets().windows(2))
            .flat_map(|(user, row)| std::iter::repeat_n(user, row[1] - row[0]))
            .collect();
        let iterations = self.iterations();
        for iteration in 1..=iterations {
            let objective = simd::run(Iteration {
                interactions,
                user_of: &user_of,
                users: users.as_slice_mut().unwrap_or_default(),
                items: items.as_slice_mut().unwrap_or_default(),
                factors: f,
                step_size: self.step_size(),
                seed: word(seed, ITERATION_STREAM, u64::from(iteration)),
            });
            for (side, rows) in [(Side::User, users.view()), (Side::Item, items.view())] {
                check_finite(side, rows, iteration)?;
            }
            if progress(&IterationReport { iteration, iterations, objective }).is_break() {
                return Err(FitError::Cancelled { iteration });
            }
        }
        drop(user_of);
        let failed = |(row, source)| FitError::Row { side: Side::User, row, iteration: iterations, source };
        let solver = PairSolver::new(items.view(), self).map_err(|source| failed((0, source)))?;
        let solve = |(): &mut (), user: usize, row: &mut [f32]| {
            let (items, values) = interactions.row(user);
            solver.solve_into(items, values, row).map(|()| 0.0)
        };
        solve_rows(&mut users, || (), solve).map_err(failed)?;
        Ok(Model {
            gram: gram(items.view()),
            user_factors: users,
            item_factors: items,
            item_counts: Vec::new(),
            mean_degree_weight: None,
            ratings: None,
            two_hop: None,
            params: ValidParams::Bpr(*self),
        })
    }
}

struct Iteration<'a> {
    interactions: &'a Interactions,
    /// User index of each entry.
    user_of: &'a [u32],
    users: &'a mut [f32],
    items: &'a mut [f32],
    factors: usize,
    step_size: StepSize,
    seed: u64,
}

impl Kernel for Iteration<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { interactions, user_of, users, items, factors: f, step_size, seed } = self;
        let range = |row: usize| row * f..(row + 1) * f;
        let (mut sum, mut pairs) = (0.0, 0_u64);
        for (step, entry) in (0_u64..).zip(systematic_sample(interactions.values(), seed)) {
            let user = user_of[entry as usize] as usize;
            let positive = interactions.columns()[entry as usize] as usize;
            let Some(negative) = sample_negative(interactions.row(user), interactions.items(), seed, step) else {
                continue;
            };
            let Ok([positive, negative]) = items.get_disjoint_mut([range(positive), range(negative)]) else { continue };
            sum += step_all(&mut users[range(user)], positive, negative, step_size);
            pairs += 1;
        }
        sum / pairs.max(1) as f64
    }
}

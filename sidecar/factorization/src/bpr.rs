//! Bayesian personalized ranking (Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009, "BPR: Bayesian personalized ranking from
//! implicit feedback", UAI): stochastic descent on pairs of items, one after the other, on one thread; then every user's row from
//! their likes, with the items as they are.

use std::ops::ControlFlow;

use crate::{
    als::{FitError, Side, SweepReport, check_finite, solve_rows, starting_factors},
    gram::gram,
    interactions::Interactions,
    model::Model,
    pair_solver::PairSolver,
    pairs::{Pace, other_item, step_all, turns},
    params::{ValidBprParams, ValidParams},
    random::word,
    simd::{self, Kernel},
};

/// Seeds of one seed: where items and users start, and one for each sweep after these.
const ITEM_STREAM: u64 = 1;
const SWEEP_STREAM: u64 = 2;

/// Fits. A sweep has as many steps as there are entries. `progress` is called after every sweep with the mean of −ln σ over its pairs, as
/// they came to before their step, and may cancel.
///
/// # Errors
/// Nothing to learn from, a row that does not fit f32 (named), or cancelled.
pub fn fit_bpr(
    interactions: &Interactions,
    params: &ValidBprParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    if interactions.nnz() == 0 {
        return Err(FitError::Empty);
    }
    let f = params.factors();
    let mut users = starting_factors(interactions.users(), f, seed, 1.0, f);
    let mut items = starting_factors(interactions.items(), f, word(seed, ITEM_STREAM, 0), 1.0, f);
    let user_of: Vec<u32> = (0_u32..)
        .zip(interactions.offsets().windows(2))
        .flat_map(|(user, row)| std::iter::repeat_n(user, row[1] - row[0]))
        .collect();
    let sweeps = params.iterations();
    for sweep in 1..=sweeps {
        let objective = simd::run(Sweep {
            interactions,
            user_of: &user_of,
            users: users.as_slice_mut().unwrap_or_default(),
            items: items.as_slice_mut().unwrap_or_default(),
            factors: f,
            pace: params.pace(),
            seed: word(seed, SWEEP_STREAM, u64::from(sweep)),
        });
        for (side, rows) in [(Side::User, users.view()), (Side::Item, items.view())] {
            check_finite(side, rows, sweep)?;
        }
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    drop(user_of);
    let failed = |(row, source)| FitError::Row { side: Side::User, row, sweep: sweeps, source };
    let solver = PairSolver::new(items.view(), params).map_err(|source| failed((0, source)))?;
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
        mean_share: None,
        ratings: None,
        params: ValidParams::Bpr(*params),
    })
}

struct Sweep<'a> {
    interactions: &'a Interactions,
    /// The user of each entry.
    user_of: &'a [u32],
    users: &'a mut [f32],
    items: &'a mut [f32],
    factors: usize,
    pace: Pace,
    seed: u64,
}

impl Kernel for Sweep<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { interactions, user_of, users, items, factors: f, pace, seed } = self;
        let range = |row: usize| row * f..(row + 1) * f;
        let (mut sum, mut pairs) = (0.0, 0_u64);
        for (turn, entry) in (0_u64..).zip(turns(interactions.values(), seed)) {
            let user = user_of[entry as usize] as usize;
            let liked = interactions.columns()[entry as usize] as usize;
            let Some(other) = other_item(interactions.row(user), interactions.items(), seed, turn) else { continue };
            let Ok([liked, other]) = items.get_disjoint_mut([range(liked), range(other)]) else { continue };
            sum += step_all(&mut users[range(user)], liked, other, pace);
            pairs += 1;
        }
        sum / pairs.max(1) as f64
    }
}

//! Alternating least squares on implicit data: each half-sweep solves every row of one side exactly.

use std::{fmt, ops::ControlFlow};

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use thiserror::Error;

use crate::{
    gram::gram,
    interactions::Interactions,
    model::Model,
    objective::regularization_term,
    params::{ValidAlsParams, ValidParams},
    random::normal,
    row_solver::{RowSolver, Scratch, SolveError},
};

/// Standard deviation of a starting row's length: each factor is drawn from N(0, (0.1/√f)²), as in Rendle et al. 2022.
const STARTING_SCALE: f64 = 0.1;
/// Rows that one task solves before it takes the next.
pub(crate) const TASK_ROWS: usize = 64;

/// Which factor matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// U.
    User,
    /// V.
    Item,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Item => "item",
        })
    }
}

/// Why a fit ended without a model.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FitError {
    /// There is nothing to learn from.
    #[error("there are no interactions")]
    Empty,
    /// A row could not be solved.
    #[error("{side} row {row} in sweep {sweep}")]
    Row {
        /// Of which side.
        side: Side,
        /// Its index.
        row: usize,
        /// From 1.
        sweep: u32,
        /// Why.
        source: SolveError,
    },
    /// The callback asked to stop.
    #[error("cancelled after sweep {sweep}")]
    Cancelled {
        /// The last whole sweep.
        sweep: u32,
    },
}

/// State of a fit after a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepReport {
    /// From 1.
    pub sweep: u32,
    /// How many there will be.
    pub sweeps: u32,
    /// L after the sweep, before factors are rounded to f32; see the crate's page. It costs next to nothing.
    pub objective: f64,
}

/// Fits implicit ALS on the ambient rayon pool. `progress` is called after every sweep and may cancel.
///
/// A sweep solves all items, then all users; it starts from random users. So training ends with exact users.
///
/// # Errors
/// Nothing to learn from, a row that cannot be solved (named), or cancelled.
pub fn fit_als(
    interactions: &Interactions,
    params: &ValidAlsParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    if interactions.nnz() == 0 {
        return Err(FitError::Empty);
    }
    let f = params.factors();
    let by_item = interactions.transpose();
    let mut user_factors = starting_factors(interactions.users(), f, seed, 1.0);
    let mut item_factors = Array2::zeros((interactions.items(), f));
    let mut item_gram = Array2::zeros((f, f));
    let sweeps = params.iterations();
    for sweep in 1..=sweeps {
        let user_gram = gram(user_factors.view());
        half_sweep(&by_item, (&user_factors, &user_gram), &mut item_factors, params)
            .map_err(|(row, source)| FitError::Row { side: Side::Item, row, sweep, source })?;
        item_gram = gram(item_factors.view());
        let row_terms = half_sweep(interactions, (&item_factors, &item_gram), &mut user_factors, params)
            .map_err(|(row, source)| FitError::Row { side: Side::User, row, sweep, source })?;
        let objective = row_terms + regularization_term(&by_item, item_factors.view(), params);
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    Ok(Model { user_factors, item_factors, gram: item_gram, ratings: None, params: ValidParams::Als(*params) })
}

/// Random rows, their lengths in this unit.
pub(crate) fn starting_factors(rows: usize, factors: usize, seed: u64, unit: f64) -> Array2<f32> {
    let scale = unit * STARTING_SCALE / (factors as f64).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    Array2::from_shape_fn((rows, factors), |(row, column)| (scale * normal(seed, row as u64, column as u64)) as f32)
}

/// Solves every row of one side; gives the sum of their minima, or the lowest row that failed, so that neither depends on
/// threads.
fn half_sweep(
    rows: &Interactions,
    (fixed, gram): (&Array2<f32>, &Array2<f64>),
    solved: &mut Array2<f32>,
    params: &ValidAlsParams,
) -> Result<f64, (usize, SolveError)> {
    let solver = RowSolver::new(fixed.view(), gram.view(), params).map_err(|source| (0, source))?;
    let tasks: Vec<_> = solved.axis_chunks_iter_mut(Axis(0), TASK_ROWS).enumerate().collect();
    let sums: Vec<Result<f64, (usize, SolveError)>> = tasks
        .into_par_iter()
        .with_max_len(1)
        .map_init(
            || Scratch::new(params.factors()),
            |scratch, (task, mut chunk)| {
                let mut sum = 0.0;
                for (offset, mut out) in chunk.rows_mut().into_iter().enumerate() {
                    let row = task * TASK_ROWS + offset;
                    let (indexes, weights) = rows.row(row);
                    let out = out.as_slice_mut().expect("factor matrices are in standard layout");
                    sum += solver.solve_into(indexes, weights, scratch, out).map_err(|source| (row, source))?;
                }
                Ok(sum)
            },
        )
        .collect();
    sums.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{interactions::Entry, objective::objective, params::AlsParams, random::below, random::word};

    #[test]
    fn no_half_sweep_raises_the_objective() {
        let index = |stream: u64, i: u64| u32::try_from(below(word(5, stream, i), 80)).unwrap();
        let entries = (0..900).map(|i| Entry { user: index(0, i), item: index(1, i), value: f32::from(i % 7 != 0) });
        let by_user = Interactions::from_entries(80, 80, entries.collect()).unwrap();
        let by_item = by_user.transpose();
        let params = AlsParams { factors: 12, ..AlsParams::default() }.check().unwrap();
        let (mut users, mut items) = (starting_factors(80, 12, 1, 1.0), starting_factors(80, 12, 2, 1.0));
        let mut last = objective(&by_user, users.view(), items.view(), &params);
        for half in 0..12 {
            if half % 2 == 0 {
                half_sweep(&by_item, (&users, &gram(users.view())), &mut items, &params).unwrap();
            } else {
                half_sweep(&by_user, (&items, &gram(items.view())), &mut users, &params).unwrap();
            }
            let next = objective(&by_user, users.view(), items.view(), &params);
            assert!(next <= last + 1e-6 * last.abs(), "half-sweep {half}: {next} after {last}");
            last = next;
        }
    }
}

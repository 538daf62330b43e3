//! Alternating least squares on implicit data: each half-sweep solves every row of one side exactly.

use std::{fmt, ops::ControlFlow};

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use thiserror::Error;

use crate::{
    gram::gram,
    interactions::Interactions,
    model::Model,
    objective::objective,
    params::ValidAlsParams,
    random::normal,
    row_solver::{RowSolver, Scratch, SolveError},
};

/// Standard deviation of a starting row's length: each factor is drawn from N(0, (0.1/√f)²), as in Rendle et al. 2022.
const STARTING_SCALE: f64 = 0.1;
/// Rows that one task solves before it takes the next.
const TASK_ROWS: usize = 64;

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
        /// From 1; `iterations + 1` is the closing half-sweep.
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
    /// L after the sweep; see the crate's page.
    pub objective: f64,
}

/// Fits implicit ALS on the ambient rayon pool. `progress` is called after every sweep and may cancel.
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
    let item_entries: Vec<usize> = by_item.offsets().windows(2).map(|w| w[1] - w[0]).collect();
    let mut item_factors = starting_factors(interactions.items(), f, seed);
    let mut user_factors = Array2::zeros((interactions.users(), f));
    let sweeps = params.iterations();
    for sweep in 1..=sweeps {
        let item_gram = gram(item_factors.view());
        let fixed = RowSolver::new(item_factors.view(), item_gram.view(), params);
        half_sweep(interactions, fixed, &mut user_factors, (Side::User, sweep))?;
        let user_gram = gram(user_factors.view());
        let fixed = RowSolver::new(user_factors.view(), user_gram.view(), params);
        half_sweep(&by_item, fixed, &mut item_factors, (Side::Item, sweep))?;
        let value = evaluate(interactions, &item_entries, user_factors.view(), item_factors.view(), params);
        if progress(&SweepReport { sweep, sweeps, objective: value }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    let item_gram = gram(item_factors.view());
    let fixed = RowSolver::new(item_factors.view(), item_gram.view(), params);
    half_sweep(interactions, fixed, &mut user_factors, (Side::User, sweeps + 1))?;
    Ok(Model { user_factors, item_factors, gram: item_gram, params: *params })
}

fn evaluate(
    interactions: &Interactions,
    item_entries: &[usize],
    user_factors: ArrayView2<'_, f32>,
    item_factors: ArrayView2<'_, f32>,
    params: &ValidAlsParams,
) -> f64 {
    objective(interactions, item_entries, user_factors, item_factors, &gram(item_factors), params)
}

fn starting_factors(rows: usize, factors: usize, seed: u64) -> Array2<f32> {
    let scale = STARTING_SCALE / (factors as f64).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    Array2::from_shape_fn((rows, factors), |(row, column)| (scale * normal(seed, row as u64, column as u64)) as f32)
}

fn half_sweep(
    rows: &Interactions,
    solver: RowSolver<'_>,
    solved: &mut Array2<f32>,
    (side, sweep): (Side, u32),
) -> Result<(), FitError> {
    let f = solved.ncols();
    let tasks: Vec<_> = solved.axis_chunks_iter_mut(Axis(0), TASK_ROWS).enumerate().collect();
    let failures: Vec<(usize, SolveError)> = tasks
        .into_par_iter()
        .with_max_len(1)
        .map_init(
            || Scratch::new(f),
            |scratch, (task, mut chunk)| {
                for (offset, mut out) in chunk.rows_mut().into_iter().enumerate() {
                    let row = task * TASK_ROWS + offset;
                    let (indexes, values) = rows.row(row);
                    let solved =
                        out.as_slice_mut().map_or(Ok(()), |out| solver.solve_into(indexes, values, scratch, out));
                    if let Err(source) = solved {
                        return Some((row, source));
                    }
                }
                None
            },
        )
        .flatten_iter()
        .collect();
    // The lowest row, so that the message does not depend on threads.
    match failures.into_iter().min_by_key(|(row, _)| *row) {
        Some((row, source)) => Err(FitError::Row { side, row, sweep, source }),
        None => Ok(()),
    }
}

//! Alternating least squares on ratings: each half-sweep solves factors and bias of every row of one side exactly.

use std::ops::ControlFlow;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::{
    als::{FitError, Side, SweepReport, TASK_ROWS, starting_factors},
    biases::BIAS_SHRINKAGE,
    gram::gram,
    interactions::Interactions,
    model::{Model, RatingBiases},
    objective::{squared_norm, sum_rows},
    params::{ValidExplicitAlsParams, ValidParams},
    rating_solver::RatingSolver,
    ratings::RatingScale,
    row_solver::SolveError,
};

/// One side: a row of factors and a bias for each user, or for each item.
struct Half {
    factors: Array2<f32>,
    biases: Vec<f32>,
}

/// Fits explicit ALS on the ambient rayon pool. `progress` is called after every sweep and may cancel.
///
/// A sweep solves all items, then all users; it starts from random users. So training ends with exact users.
///
/// # Errors
/// Nothing to learn from, a row that cannot be solved (named), or cancelled.
pub fn fit_explicit_als(
    ratings: &Interactions,
    params: &ValidExplicitAlsParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    let Some(scale) = RatingScale::of(ratings) else { return Err(FitError::Empty) };
    let f = params.factors();
    let by_item = ratings.transpose();
    // Two factors multiply to a rating, so each starts with the root of its unit.
    let unit = f64::from(scale.deviation).sqrt();
    let mut users =
        Half { factors: starting_factors(ratings.users(), f, seed, unit, f), biases: vec![0.0; ratings.users()] };
    let mut items = Half { factors: Array2::zeros((ratings.items(), f)), biases: vec![0.0; ratings.items()] };
    let sweeps = params.iterations();
    for sweep in 1..=sweeps {
        half_sweep(&by_item, &users, &mut items, scale, params).map_err(|(row, source)| FitError::Row {
            side: Side::Item,
            row,
            sweep,
            source,
        })?;
        let row_terms = half_sweep(ratings, &items, &mut users, scale, params)
            .map_err(|(row, source)| FitError::Row { side: Side::User, row, sweep, source })?;
        let objective = row_terms + regularization_term(&by_item, &items, &scale, params);
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    Ok(Model {
        gram: gram(items.factors.view()),
        user_factors: users.factors,
        item_factors: items.factors,
        item_counts: Vec::new(),
        mean_share: None,
        ratings: Some(RatingBiases { scale, users: users.biases, items: items.biases }),
        params: ValidParams::ExplicitAls(*params),
    })
}

/// Solves every row of one side; gives the sum of their minima, or the lowest row that failed, so that neither depends on
/// threads.
fn half_sweep(
    rows: &Interactions,
    fixed: &Half,
    solved: &mut Half,
    scale: RatingScale,
    params: &ValidExplicitAlsParams,
) -> Result<f64, (usize, SolveError)> {
    let solver = RatingSolver::new(fixed.factors.view(), &fixed.biases, scale, params).map_err(|source| (0, source))?;
    let chunks = solved.factors.axis_chunks_iter_mut(Axis(0), TASK_ROWS).zip(solved.biases.chunks_mut(TASK_ROWS));
    let tasks: Vec<_> = chunks.enumerate().collect();
    let sums: Vec<Result<f64, (usize, SolveError)>> = tasks
        .into_par_iter()
        .with_max_len(1)
        .map_init(
            || RatingSolver::scratch(params),
            |scratch, (task, (mut factors, biases))| {
                let mut sum = 0.0;
                for (offset, (mut out, bias)) in factors.rows_mut().into_iter().zip(biases).enumerate() {
                    let row = task * TASK_ROWS + offset;
                    let (indexes, ratings) = rows.row(row);
                    let out = out.as_slice_mut().expect("factor matrices are in standard layout");
                    sum += solver.solve_into(indexes, ratings, scratch, out, bias).map_err(|source| (row, source))?;
                }
                Ok(sum)
            },
        )
        .collect();
    sums.into_iter().sum()
}

/// λσ Σ n^ν ‖row‖² + β Σ bias² of one side; `rows` has that side's rows.
fn regularization_term(rows: &Interactions, half: &Half, scale: &RatingScale, params: &ValidExplicitAlsParams) -> f64 {
    sum_rows(rows.users(), |row| {
        let bias = f64::from(half.biases[row]);
        params.factor_regularization(rows.row(row).0.len(), scale) * squared_norm(half.factors.row(row))
            + BIAS_SHRINKAGE * bias * bias
    })
}

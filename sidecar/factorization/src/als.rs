//! Alternating least squares on implicit data: each half-sweep solves every row of one side, in the basis in which the fixed
//! side's Gram matrix is diagonal.

use std::{fmt, ops::ControlFlow};

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;
use thiserror::Error;

use crate::{
    aligned,
    degrees::{give_back, shared_weights, take_out},
    descent::{Buffers, Descent, Weights, padded},
    gram::gram_of_padded,
    interactions::Interactions,
    model::Model,
    objective::regularization_term,
    params::{AlsSolver, ValidAlsParams, ValidParams},
    random::normal,
    rotate::rotate,
    row_solver::{RowSolver, Scratch, SolveError},
    spectrum::Spectrum,
    start::Earlier,
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
    /// A Gram matrix could not be decomposed.
    #[error("the {side} factors of sweep {sweep} have no eigenbasis: lower extreme weights or raise regularization")]
    Basis {
        /// Whose.
        side: Side,
        /// From 1.
        sweep: u32,
    },
    /// The model to start from is another kind of model.
    #[error(
        "the model to start from has {given} factors, this fit {expected}: set factors to {given}, or start without it"
    )]
    Start {
        /// Its factors.
        given: usize,
        /// Those of the parameters.
        expected: usize,
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
    fit(interactions, params, seed, None, progress)
}

/// [`fit_als`] from where an earlier model ended: see [`crate::start`].
///
/// # Errors
/// As [`fit_als`], and an earlier model with another number of factors.
pub fn fit_als_from(
    interactions: &Interactions,
    params: &ValidAlsParams,
    seed: u64,
    earlier: &Earlier<'_>,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    fit(interactions, params, seed, Some(earlier), progress)
}

fn fit(
    interactions: &Interactions,
    params: &ValidAlsParams,
    seed: u64,
    earlier: Option<&Earlier<'_>>,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    if interactions.nnz() == 0 {
        return Err(FitError::Empty);
    }
    let f = params.factors();
    let (interactions, degrees) = shared_weights(interactions, params);
    let interactions = &*interactions;
    let returned = degrees.as_ref().filter(|_| params.has_return()).map(|(counts, _)| counts.as_slice());
    let by_item = interactions.transpose();
    let mut users = starting_factors(interactions.users(), f, seed, 1.0, padded(f));
    let mut items = aligned::zeros(interactions.items(), padded(f));
    if let Some(earlier) = earlier {
        earlier.check(f)?;
        earlier.put_users(&mut users);
        // Steps go from where a row stood, so items start there, too.
        earlier.put_items(&mut items);
        if let Some(counts) = returned {
            take_out(&mut items, counts, params);
        }
    }
    let mut served = None;
    let mut item_gram = Array2::zeros((f, f));
    let sweeps = params.iterations();
    for sweep in 1..=sweeps {
        let failed = |side: Side| move |(row, source): (usize, SolveError)| FitError::Row { side, row, sweep, source };
        let user_basis = turn(&mut users, &mut items, f).ok_or(FitError::Basis { side: Side::User, sweep })?;
        half_sweep(&by_item, (&users, &user_basis), &mut items, params, params.solver()).map_err(failed(Side::Item))?;
        let item_basis = turn(&mut items, &mut users, f).ok_or(FitError::Basis { side: Side::Item, sweep })?;
        let solver = if sweep < sweeps { params.solver() } else { AlsSolver::Cholesky };
        if sweep == sweeps
            && let Some(counts) = returned
        {
            let given = give_back(&mut items, counts, params);
            check_finite(Side::Item, given.view(), sweep)?;
            served = Some(given);
        }
        let row_terms =
            half_sweep(interactions, (&items, &item_basis), &mut users, params, solver).map_err(failed(Side::User))?;
        item_gram = Array2::from_diag(&Array1::from(item_basis));
        let objective = row_terms + regularization_term(&by_item, items.view(), params);
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    let (item_counts, mean_share) = degrees.unzip();
    Ok(Model {
        user_factors: without_padding(users, f),
        item_factors: served.unwrap_or_else(|| without_padding(items, f)),
        gram: item_gram,
        item_counts: item_counts.unwrap_or_default(),
        mean_share,
        ratings: None,
        params: ValidParams::Als(*params),
    })
}

/// Refuses rows that do not fit f32.
pub(crate) fn check_finite(side: Side, rows: ArrayView2<'_, f32>, sweep: u32) -> Result<(), FitError> {
    let row = rows.rows().into_iter().position(|row| row.iter().any(|factor| !factor.is_finite()));
    row.map_or(Ok(()), |row| Err(FitError::Row { side, row, sweep, source: SolveError::NotFinite }))
}

/// Random rows, their lengths in this unit, each padded with zeros to `width`.
pub(crate) fn starting_factors(rows: usize, factors: usize, seed: u64, unit: f64, width: usize) -> Array2<f32> {
    let scale = unit * STARTING_SCALE / (factors as f64).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    let draw = |row: usize, column: usize| (scale * normal(seed, row as u64, column as u64)) as f32;
    aligned::filled(rows, width, |row, to| {
        for (column, x) in to[..factors].iter_mut().enumerate() {
            *x = draw(row, column);
        }
    })
}

/// The first columns; no copy where there is no padding.
pub(crate) fn without_padding(rows: Array2<f32>, factors: usize) -> Array2<f32> {
    if rows.ncols() == factors { rows } else { rows.slice(s![.., ..factors]).to_owned() }
}

/// Turns both sides (rows × padded factors) into the eigenbasis of the fixed side's Gram matrix, which leaves all their products
/// as they are; columns after the factors stay. Gives the eigenvalues from the greatest, one for each factor; `None` if there are
/// none to be found.
pub(crate) fn turn(fixed: &mut Array2<f32>, other: &mut Array2<f32>, factors: usize) -> Option<Vec<f64>> {
    let Spectrum { values, vectors } = Spectrum::of(&gram_of(fixed, factors))?;
    let mut order: Vec<usize> = (0..factors).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]).then(i.cmp(&j)));
    let width = fixed.ncols();
    let mut matrix = vec![0.0; width * width];
    for (column, &vector) in order.iter().enumerate() {
        for (row, x) in vectors.row(vector).iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
            let narrow = *x as f32;
            matrix[row * width + column] = narrow;
        }
    }
    for column in factors..width {
        matrix[column * width + column] = 1.0;
    }
    for side in [fixed, other] {
        rotate(side, &matrix);
    }
    // What rounding leaves of a missing dimension is 0.
    let rounding = values[order[0]].abs() * f64::from(f32::EPSILON);
    Some(order.into_iter().map(|i| if values[i] > rounding { values[i] } else { 0.0 }).collect())
}

/// The Gram matrix of padded rows, without the padding.
fn gram_of(rows: &Array2<f32>, factors: usize) -> Array2<f64> {
    let rows_slice = rows.as_slice().expect("factor matrices are in standard layout");
    gram_of_padded(rows_slice, rows.ncols()).slice(s![..factors, ..factors]).to_owned()
}

/// Solves every row of one side; gives the sum of their terms, or the lowest row that failed, so that neither depends on
/// threads. `fixed` is the other side, and the eigenvalues of its Gram matrix, which is diagonal.
fn half_sweep(
    rows: &Interactions,
    (fixed, values): (&Array2<f32>, &[f64]),
    solved: &mut Array2<f32>,
    params: &ValidAlsParams,
    solver: AlsSolver,
) -> Result<f64, (usize, SolveError)> {
    let width = fixed.ncols();
    let fixed = fixed.as_slice().expect("factor matrices are in standard layout");
    match solver {
        AlsSolver::ConjugateGradient { steps } => {
            let mut weighted_values = vec![0.0; width];
            for (to, value) in weighted_values.iter_mut().zip(values) {
                #[expect(clippy::cast_possible_truncation, reason = "rows are solved in f32")]
                let narrow = (params.unobserved_weight() * value) as f32;
                *to = narrow;
            }
            let (weighted_values, length) = (weighted_values.as_slice(), fixed.len() / width);
            solve_rows(
                solved,
                || Buffers::new(width),
                |buffers, row, out| {
                    let (indexes, weights) = rows.row(row);
                    let upcoming = &rows.columns()[rows.offsets()[row]..];
                    let terms = Weights { entries: weights, weighted_values, length, params };
                    Descent { fixed, indexes, upcoming, terms, steps, buffers, row: out }.solve()
                },
            )
        }
        AlsSolver::Cholesky => {
            let f = params.factors();
            let gram = Array2::from_diag(&ArrayView1::from(values));
            let solver = RowSolver::padded(fixed, width, gram.as_slice().unwrap_or_default(), params);
            solve_rows(
                solved,
                || Scratch::new(f),
                |scratch, row, out| {
                    let (indexes, weights) = rows.row(row);
                    solver.solve_into(indexes, weights, scratch, &mut out[..f])
                },
            )
        }
    }
}

/// Calls `solve` for every row, on the ambient rayon pool; adds up what it gives, in order.
pub(crate) fn solve_rows<S>(
    solved: &mut Array2<f32>,
    scratch: impl Fn() -> S + Sync + Send,
    solve: impl Fn(&mut S, usize, &mut [f32]) -> Result<f64, SolveError> + Sync,
) -> Result<f64, (usize, SolveError)> {
    let tasks: Vec<_> = solved.axis_chunks_iter_mut(Axis(0), TASK_ROWS).enumerate().collect();
    let sums: Vec<Result<f64, (usize, SolveError)>> = tasks
        .into_par_iter()
        .with_max_len(1)
        .map_init(scratch, |scratch, (task, mut chunk)| {
            let mut sum = 0.0;
            for (offset, mut out) in chunk.rows_mut().into_iter().enumerate() {
                let row = task * TASK_ROWS + offset;
                let out = out.as_slice_mut().expect("factor matrices are in standard layout");
                sum += solve(scratch, row, out).map_err(|source| (row, source))?;
            }
            Ok(sum)
        })
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
        for solver in [AlsSolver::Cholesky, AlsSolver::ConjugateGradient { steps: 2 }] {
            let params = AlsParams { factors: 12, solver, ..AlsParams::default() }.check().unwrap();
            let (mut users, mut items) = (starting_factors(80, 12, 1, 1.0, 16), starting_factors(80, 12, 2, 1.0, 16));
            let mut last = objective(&by_user, users.view(), items.view(), &params);
            for half in 0..12 {
                let (rows, fixed, solved) =
                    if half % 2 == 0 { (&by_item, &mut users, &mut items) } else { (&by_user, &mut items, &mut users) };
                let basis = turn(fixed, solved, 12).unwrap();
                let terms = half_sweep(rows, (fixed, &basis), solved, &params, solver).unwrap();
                let reported = terms + regularization_term(&rows.transpose(), fixed.view(), &params);
                let next = objective(&by_user, users.view(), items.view(), &params);
                assert!(next <= last + 1e-6 * last.abs(), "half-sweep {half}: {next} after {last}");
                assert!((reported - next).abs() <= 1e-5 * next.abs(), "half-sweep {half}: {next}, not {reported}");
                last = next;
            }
        }
    }
}

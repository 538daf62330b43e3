//! The rows of a factor matrix: random initial rows, one solution for each row, and the check of
//! the result.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::{
    aligned,
    fit_error::{FitError, Side},
    random::normal,
    row_solver::SolveError,
};

/// Scale of the initial factors: each is drawn from N(0, (0.1/√f)²), as in Rendle et al. 2022.
const STARTING_SCALE: f64 = 0.1;
/// Rows per task.
const TASK_ROWS: usize = 64;

/// Rejects rows with factors that are not finite in f32.
pub(crate) fn check_finite(side: Side, rows: ArrayView2<'_, f32>, iteration: u32) -> Result<(), FitError> {
    let row = rows.rows().into_iter().position(|row| row.iter().any(|factor| !factor.is_finite()));
    row.map_or(Ok(()), |row| Err(FitError::Row { side, row, iteration, source: SolveError::NotFinite }))
}

/// Random initial rows with lengths in units of `unit`, zero-padded to `width`.
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

/// The first `factors` columns, without a copy if there is no padding.
pub(crate) fn without_padding(rows: Array2<f32>, factors: usize) -> Array2<f32> {
    if rows.ncols() == factors { rows } else { rows.slice(s![.., ..factors]).to_owned() }
}

/// Calls `solve` for every row on the ambient rayon pool and adds up the results in row order.
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

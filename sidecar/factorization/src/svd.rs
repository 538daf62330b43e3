//! Truncated singular value decomposition of the sparse matrix: what is decomposed, when it is done (`subspace` has the
//! sweeps), and the model that comes of it.
//!
//! The matrix holds what was observed and 0 elsewhere: weights, where a dislike counts as nothing observed (Cremonesi, Koren
//! and Turrin 2010, "Performance of recommender algorithms on top-N recommendation tasks", RecSys: PureSVD), if asked divided by
//! powers of degrees (Nikolakopoulos et al. 2019, "EigenRec", Knowledge and Information Systems); or what averages
//! leave of ratings ([`crate::biases`]).

use std::ops::ControlFlow;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::{
    als::{FitError, Side, SweepReport, TASK_ROWS, check_finite},
    biases::Biases,
    degrees::likes,
    gram::gram,
    interactions::Interactions,
    model::{Model, RatingBiases},
    params::{ValidParams, ValidSvdParams},
    popularity::popularity,
    projection::{Projection, remainder, weight},
    row_solver::SolveError,
    subspace::{NotFinite, RANK_PRECISION, Subspace},
};

/// A sweep that adds no more than this share to what the factors explain (‖A‖² less the squared error) is the last.
const CONVERGED: f64 = 1e-7;

/// Fits the matrix of weights (`ratings` false) or of what averages leave of ratings, on the ambient rayon pool. `progress` is
/// called after every sweep with the squared error over all cells, and may cancel.
///
/// # Errors
/// Nothing to learn from, a row that does not fit f32 (named), or cancelled.
pub fn fit_svd(
    interactions: &Interactions,
    ratings: bool,
    params: &ValidSvdParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    if interactions.nnz() == 0 {
        return Err(FitError::Empty);
    }
    let averages = if ratings { Biases::fit(interactions) } else { None };
    let (item_counts, _) = popularity(interactions);
    let matrix = match &averages {
        None => normalized(interactions, &item_counts, params),
        Some(averages) => remainders(interactions, averages),
    };
    let (values, vectors, sweep) = decompose(&matrix, params, seed, progress)?;
    let mut item_factors = item_factors(&values, &vectors);
    drop(vectors);
    let gram = gram(item_factors.view());
    if averages.is_none() {
        for (mut row, count) in item_factors.rows_mut().into_iter().zip(&item_counts) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            row.mapv_inplace(|factor| (f64::from(factor) * params.degree_power(*count, 1.0)) as f32);
        }
    }
    check_finite(Side::Item, item_factors.view(), sweep)?;
    let counts = averages.is_none().then_some(item_counts.as_slice());
    let user_factors = project(interactions, &matrix, (&item_factors, &gram), counts, params)
        .map_err(|(row, source)| FitError::Row { side: Side::User, row, sweep, source })?;
    Ok(Model {
        user_factors,
        item_factors,
        gram,
        item_counts: if averages.is_none() { item_counts } else { Vec::new() },
        mean_share: None,
        ratings: averages.map(|Biases { scale, user, item }| RatingBiases { scale, users: user, items: item }),
        params: ValidParams::Svd(*params),
    })
}

/// D⁻ᵑ C D⁻ᵑ: weights, each divided by powers of how many entries its user and its item have.
fn normalized(interactions: &Interactions, item_counts: &[u32], params: &ValidSvdParams) -> Interactions {
    let of_items: Vec<f64> = item_counts.iter().map(|&count| params.degree_power(count, -1.0)).collect();
    let mut values = Vec::with_capacity(interactions.nnz());
    for user in 0..interactions.users() {
        let (items, weights) = interactions.row(user);
        let of_user = params.degree_power(likes(weights), -1.0);
        values.extend(items.iter().zip(weights).map(|(item, &value)| {
            #[expect(clippy::cast_possible_truncation, reason = "no greater than the weight")]
            {
                (f64::from(weight(value)) * of_user * of_items[*item as usize]) as f32
            }
        }));
    }
    interactions.with_values(values)
}

/// What averages leave of ratings.
fn remainders(interactions: &Interactions, averages: &Biases) -> Interactions {
    let mut values = Vec::with_capacity(interactions.nnz());
    for (user, bias) in averages.user.iter().enumerate() {
        let (items, ratings) = interactions.row(user);
        let rest = items.iter().zip(ratings);
        values.extend(
            rest.map(|(&item, &rating)| remainder(rating, averages.scale.mean, *bias, averages.item[item as usize])),
        );
    }
    interactions.with_values(values)
}

/// Squared singular values from the greatest, right singular vectors in the first columns, and the number of sweeps.
fn decompose(
    matrix: &Interactions,
    params: &ValidSvdParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<(Vec<f64>, Array2<f32>, u32), FitError> {
    let (factors, sweeps) = (params.factors(), params.iterations());
    let total: f64 = matrix.values().iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    let basis_of = |sweep| move |NotFinite| FitError::Basis { side: Side::Item, sweep };
    let mut subspace = Subspace::new(matrix, factors, seed).map_err(basis_of(1))?;
    let mut explained: f64 = 0.0;
    let mut sweep = 0;
    while sweep < sweeps {
        sweep += 1;
        subspace.sweep().map_err(basis_of(sweep))?;
        let before = explained;
        explained = subspace.squares().take(factors).sum();
        if progress(&SweepReport { sweep, sweeps, objective: (total - explained).max(0.0) }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
        if (explained - before).abs() <= CONVERGED * explained {
            break;
        }
    }
    Ok((subspace.squares().take(factors).collect(), subspace.into_vectors(), sweep))
}

/// VΣ, with columns of 0 beyond the rank. A singular vector's sign is arbitrary: its greatest entry is made positive.
fn item_factors(values: &[f64], vectors: &Array2<f32>) -> Array2<f32> {
    let smallest = RANK_PRECISION * values.first().copied().unwrap_or(0.0);
    let mut greatest = vec![0.0_f32; values.len()];
    for row in vectors.rows() {
        for (best, x) in greatest.iter_mut().zip(row) {
            *best = if x.abs() > best.abs() { *x } else { *best };
        }
    }
    let lengths = values.iter().map(|value| if *value > smallest { value.sqrt() } else { 0.0 });
    let scales: Vec<f64> =
        lengths.zip(greatest).map(|(length, best)| if best < 0.0 { -length } else { length }).collect();
    let mut rows = Array2::zeros((vectors.nrows(), values.len()));
    let to = rows.as_slice_mut().expect("just made").par_chunks_mut(values.len());
    let from = vectors.as_slice().expect("vectors are in standard layout").par_chunks(vectors.ncols());
    to.zip(from).for_each(|(to, from)| {
        for ((to, scale), from) in to.iter_mut().zip(&scales).zip(from) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            {
                *to = (scale * f64::from(*from)) as f32;
            }
        }
    });
    rows
}

/// Every user's row as folding in gives it.
fn project(
    interactions: &Interactions,
    matrix: &Interactions,
    model: (&Array2<f32>, &Array2<f64>),
    item_counts: Option<&[u32]>,
    params: &ValidSvdParams,
) -> Result<Array2<f32>, (usize, SolveError)> {
    let (item_factors, gram) = model;
    let projection =
        Projection::new(item_factors.view(), gram.view(), item_counts, params).map_err(|source| (0, source))?;
    let mut rows = Array2::zeros((matrix.users(), params.factors()));
    let tasks: Vec<_> = rows.axis_chunks_iter_mut(Axis(0), TASK_ROWS).enumerate().collect();
    let done: Vec<Result<(), (usize, SolveError)>> = tasks
        .into_par_iter()
        .map(|(task, mut chunk)| {
            for (offset, mut out) in chunk.rows_mut().into_iter().enumerate() {
                let row = task * TASK_ROWS + offset;
                let out = out.as_slice_mut().expect("factor matrices are in standard layout");
                let projected = if item_counts.is_some() {
                    let (items, values) = interactions.row(row);
                    projection.project_into(items, &projection.weights(items, values), out)
                } else {
                    let (items, values) = matrix.row(row);
                    projection.project_into(items, values, out)
                };
                projected.map_err(|source| (row, source))?;
            }
            Ok(())
        })
        .collect();
    done.into_iter().collect::<Result<(), _>>()?;
    Ok(rows)
}

//! Truncated singular value decomposition of the sparse matrix, by a restarted block Krylov iteration (Musco and Musco 2015,
//! "Randomized block Krylov methods for stronger and faster approximate singular value decomposition", NIPS).
//!
//! The matrix holds what was observed and 0 elsewhere: weights, where a dislike counts as nothing observed (Cremonesi, Koren
//! and Turrin 2010, "Performance of recommender algorithms on top-N recommendation tasks", RecSys: PureSVD), if asked divided by
//! powers of degrees (Nikolakopoulos et al. 2019, "EigenRec", Knowledge and Information Systems); or what averages
//! leave of ratings ([`crate::biases`]).

use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use crate::{
    als::{FitError, Side, SweepReport, TASK_ROWS},
    biases::Biases,
    blocks::{beside, inner, multiply, times},
    gram::gram,
    interactions::Interactions,
    model::{Model, RatingBiases},
    params::{ValidParams, ValidSvdParams},
    popularity::popularity,
    projection::{Projection, remainder, weight},
    random::normal,
    row_solver::SolveError,
    spectrum::Spectrum,
};

/// Columns of the block beyond the factors: they keep the last factors from converging slowly.
const OVERSAMPLING: usize = 8;
/// A sweep that changes no squared singular value by more than this share is the last.
const CONVERGED: f64 = 1e-11;
/// Squared singular values below this share of the greatest are rounding: the matrix has a smaller rank.
const RANK_PRECISION: f64 = 1e-13;
/// Directions that keep less than this share of their length beside others are rounding.
const INDEPENDENT: f64 = 1e-8;

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
    let mut item_factors = item_factors(&values, &vectors, params.factors());
    let gram = gram(item_factors.view());
    if averages.is_none() {
        for (mut row, count) in item_factors.rows_mut().into_iter().zip(&item_counts) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            row.mapv_inplace(|factor| (f64::from(factor) * params.degree_power(*count, 1.0)) as f32);
        }
    }
    let not_finite = |side: Side, rows: ArrayView2<'_, f32>| {
        let row = rows.rows().into_iter().position(|row| row.iter().any(|x| !x.is_finite()));
        row.map_or(Ok(()), |row| Err(FitError::Row { side, row, sweep, source: SolveError::NotFinite }))
    };
    not_finite(Side::Item, item_factors.view())?;
    let counts = averages.is_none().then_some(item_counts.as_slice());
    let user_factors = project(interactions, &matrix, (&item_factors, &gram), counts, params)
        .map_err(|(row, source)| FitError::Row { side: Side::User, row, sweep, source })?;
    Ok(Model {
        user_factors,
        item_factors,
        gram,
        item_counts: if averages.is_none() { item_counts } else { Vec::new() },
        mean_share: 1.0,
        ratings: averages.map(|Biases { scale, user, item }| RatingBiases { scale, users: user, items: item }),
        params: ValidParams::Svd(*params),
    })
}

/// D⁻ᵑ C D⁻ᵑ: weights, each divided by powers of how many entries its user and its item have.
fn normalized(interactions: &Interactions, item_counts: &[u32], params: &ValidSvdParams) -> Interactions {
    let mut values = Vec::with_capacity(interactions.nnz());
    for user in 0..interactions.users() {
        let (items, weights) = interactions.row(user);
        let liked = weights.iter().filter(|value| **value > 0.0).count();
        let of_user = params.degree_power(u32::try_from(liked).unwrap_or(u32::MAX), -1.0);
        values.extend(items.iter().zip(weights).map(|(item, &value)| {
            let of_item = params.degree_power(item_counts[*item as usize], -1.0);
            #[expect(clippy::cast_possible_truncation, reason = "no greater than the weight")]
            {
                (f64::from(weight(value)) * of_user * of_item) as f32
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

/// What a fit holds besides interactions and factors, in bytes: f64 blocks by item (three, their images, both side by side, what
/// they are turned into, and what the allocator keeps of them: 17 by measurement) and by user (an image), the matrix that is decomposed,
/// and small squares.
pub(crate) fn blocks_bytes(users: u64, items: u64, entries: u64, params: &ValidSvdParams) -> u64 {
    const BLOCKS_BY_ITEM: u64 = 17;
    const SQUARES: u64 = 4;
    let width = (params.factors() + OVERSAMPLING) as u64;
    let rows = users.saturating_add(items.saturating_mul(BLOCKS_BY_ITEM));
    let squares = SQUARES * 9 * width * width;
    // Column and value.
    let matrix = entries.saturating_mul(8);
    8_u64.saturating_mul(rows.saturating_mul(width).saturating_add(squares)).saturating_add(matrix)
}

/// Squared singular values from the greatest, right singular vectors in columns, and the number of sweeps.
fn decompose(
    matrix: &Interactions,
    params: &ValidSvdParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<(Vec<f64>, Array2<f64>, u32), FitError> {
    let transposed = matrix.transpose();
    let square = |x: &Array2<f64>| multiply(&transposed, &multiply(matrix, x));
    let (users, items) = (matrix.users(), matrix.items());
    let width = (params.factors() + OVERSAMPLING).min(users).min(items);
    let total: f64 = matrix.values().iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    let start = Array2::from_shape_fn((items, width), |(i, j)| normal(seed, i as u64, j as u64));
    let basis_of = |sweep| FitError::Basis { side: Side::Item, sweep };
    let mut x = orthonormal(start, &[]).ok_or_else(|| basis_of(1))?;
    let mut image = square(&x);
    let mut values: Vec<f64> = Vec::new();
    let sweeps = params.iterations();
    let mut sweep = 0;
    while sweep < sweeps {
        sweep += 1;
        let second = orthonormal(image.clone(), &[&x]).ok_or_else(|| basis_of(sweep))?;
        let second_image = square(&second);
        let third = orthonormal(second_image.clone(), &[&x, &second]).ok_or_else(|| basis_of(sweep))?;
        let third_image = square(&third);
        let basis = beside(&[&x, &second, &third]);
        let images = beside(&[&image, &second_image, &third_image]);
        let (found, vectors) = eigen(&inner(&basis, &images)).ok_or_else(|| basis_of(sweep))?;
        let best = vectors.slice_axis(Axis(1), (0..width.min(found.len())).into()).to_owned();
        let best = best.as_standard_layout().into_owned();
        (x, image) = (times(&basis, &best), times(&images, &best));
        let found: Vec<f64> = found.into_iter().take(params.factors().min(best.ncols())).collect();
        let objective = (total - found.iter().sum::<f64>()).max(0.0);
        let smallest = RANK_PRECISION * found.first().copied().unwrap_or(0.0);
        let settled = values.len() == found.len()
            && found.iter().zip(&values).all(|(new, old)| (new - old).abs() <= CONVERGED * new.abs() + smallest);
        values = found;
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
        if settled {
            break;
        }
    }
    Ok((values, x, sweep))
}

/// VΣ, with columns of 0 beyond the rank. A singular vector's sign is arbitrary: its greatest entry is made positive.
fn item_factors(values: &[f64], vectors: &Array2<f64>, factors: usize) -> Array2<f32> {
    let smallest = RANK_PRECISION * values.first().copied().unwrap_or(0.0);
    let mut rows = Array2::zeros((vectors.nrows(), factors));
    for (k, (value, vector)) in values.iter().zip(vectors.columns()).enumerate() {
        if *value <= smallest || *value <= 0.0 {
            continue;
        }
        let greatest = vector.iter().fold(0.0_f64, |best, x| if x.abs() > best.abs() { *x } else { best });
        let scale = value.sqrt() * if greatest < 0.0 { -1.0 } else { 1.0 };
        for (to, from) in rows.column_mut(k).iter_mut().zip(vector) {
            #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
            {
                *to = (scale * from) as f32;
            }
        }
    }
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

/// Orthonormal columns that span what the block adds to the orthonormal `others`; fewer columns if it adds less.
///
/// `None` if the numbers overflow.
fn orthonormal(mut block: Array2<f64>, others: &[&Array2<f64>]) -> Option<Array2<f64>> {
    // Once leaves rounding of the length before, a second time of what is left; a third is for the columns' own.
    for pass in 0..3 {
        let before = lengths(&block);
        for other in others {
            let share = inner(other, &block);
            block -= &times(other, &share);
        }
        let after = lengths(&block);
        let keep: Vec<usize> = (0..block.ncols())
            .filter(|&j| after[j] > 0.0 && after[j].is_finite() && (pass > 0 || after[j] > 1e-13 * before[j]))
            .collect();
        let scaled = Array2::from_shape_fn((block.nrows(), keep.len()), |(i, j)| block[[i, keep[j]]] / after[keep[j]]);
        if keep.is_empty() {
            return Some(scaled);
        }
        let (values, vectors) = eigen(&inner(&scaled, &scaled))?;
        let kept = values.iter().take_while(|value| **value > INDEPENDENT * values[0]).count();
        let turn = Array2::from_shape_fn((keep.len(), kept), |(i, j)| vectors[[i, j]] / values[j].sqrt());
        block = times(&scaled, &turn);
    }
    Some(block)
}

/// Eigenvalues from the greatest, equal ones in the order found, and eigenvectors in columns.
fn eigen(matrix: &Array2<f64>) -> Option<(Vec<f64>, Array2<f64>)> {
    let Spectrum { values, vectors } = Spectrum::of(matrix)?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|x, y| values[*y].total_cmp(&values[*x]).then(x.cmp(y)));
    let columns = Array2::from_shape_fn(vectors.dim(), |(i, j)| vectors[[order[j], i]]);
    Some((order.iter().map(|&i| values[i]).collect(), columns))
}

fn lengths(block: &Array2<f64>) -> Vec<f64> {
    let mut squares = vec![0.0; block.ncols()];
    for row in block.rows() {
        for (sum, x) in squares.iter_mut().zip(row) {
            *sum += x * x;
        }
    }
    squares.into_iter().map(f64::sqrt).collect()
}

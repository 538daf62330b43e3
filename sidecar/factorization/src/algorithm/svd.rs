//! Truncated singular value decomposition of the sparse matrix: sets up the matrix, decides when
//! the decomposition has converged (`subspace` has the iterations), and makes the model.
//!
//! The matrix holds observed values and 0 elsewhere. They are weights, where a dislike counts as
//! not observed (Cremonesi, Koren and Turrin 2010, "Performance of recommender algorithms on top-N
//! recommendation tasks", RecSys: PureSVD), optionally divided by powers of degrees (Nikolakopoulos
//! et al. 2019, "EigenRec", Knowledge and Information Systems); or residuals of ratings after the
//! bias baseline ([`crate::biases`]).

use ndarray::Array2;
use rayon::prelude::*;

use super::Algorithm;
use crate::{
    biases::Biases,
    factor_rows::{check_finite, solve_rows},
    fit::{Fit, IterationReport, Progress, check_cold_start},
    fit_error::{FitError, Side},
    fold_in::{FoldIn, Parts},
    gram::gram,
    interactions::Interactions,
    memory::{EIGENBASIS_SQUARES, FitSize, total},
    model::{Model, RatingBiases},
    normalization::normalized,
    params::{ValidParams, ValidSvdParams},
    popularity::popularity,
    projection::{Projection, ProjectionFoldIn, residual},
    row_solver::SolveError,
    subspace::{self, NotFinite, RANK_PRECISION, Subspace},
    two_hop::{Spectrum, TwoHopModel},
    two_hop_params::TwoHopParams,
    warm_start::WarmStart,
};

/// The fit stops after an iteration that adds no more than this fraction to the explained variance
/// (‖A‖² minus the squared error).
const CONVERGED: f64 = 1e-7;
/// Square matrices of the decomposition; orthonormalization needs those of an eigenbasis again.
const SQUARES: u64 = 2 * EIGENBASIS_SQUARES;
/// Fraction (one in this many) of the blocks that the allocator retains after iterations have freed
/// it; measured.
const ALLOCATOR_RETAINS_ONE_IN: u64 = 8;

impl Algorithm for ValidSvdParams {
    fn factors(&self) -> usize {
        self.factors()
    }

    fn fit_bytes(&self, size: &FitSize) -> u64 {
        let f = self.factors();
        let width = subspace::width(f);
        // One of the blocks becomes the factors after the others are freed.
        let blocks = subspace::blocks_bytes(size.users, size.items, width as u64);
        let blocks = blocks.saturating_add(blocks / ALLOCATOR_RETAINS_ONE_IN);
        let factors = size.factor_bytes(f, f).saturating_add(size.item_bytes(width));
        let two_hop = if self.two_hop().is_some() { size.two_hop_bytes() } else { 0 };
        total([
            blocks.max(factors),
            two_hop,
            size.scratch_bytes(f),
            size.square_bytes(width, SQUARES),
            // Degree-weighted entries, or residuals of the bias baseline.
            size.orientation_bytes(),
        ])
    }

    fn two_hop(&self) -> Option<TwoHopParams> {
        self.two_hop()
    }

    fn with_co_occurrence_weight(&self, weight: f64) -> Option<ValidParams> {
        (*self).with_co_occurrence_weight(weight).map(ValidParams::Svd)
    }

    fn fold_in<'a>(&'a self, parts: Parts<'a>) -> Result<Box<dyn FoldIn + 'a>, SolveError> {
        let Parts { items, gram, degrees, ratings } = parts;
        if ratings.is_some() != self.ratings() {
            return Err(SolveError::AlgorithmMismatch);
        }
        let counts = ratings.is_none().then_some(degrees.item_counts);
        Ok(Box::new(ProjectionFoldIn { projection: Projection::new(items, gram.matrix, counts, self)?, ratings }))
    }
}

impl Fit for ValidSvdParams {
    /// `progress` gets the squared error over all cells as the objective.
    fn fit(
        &self,
        interactions: &Interactions,
        seed: u64,
        warm_start: Option<&WarmStart<'_>>,
        progress: &mut Progress<'_>,
    ) -> Result<Model, FitError> {
        check_cold_start(interactions, warm_start)?;
        let baseline = if self.ratings() { Biases::fit(interactions) } else { None };
        let (item_counts, _) = popularity(interactions);
        let matrix = match &baseline {
            None => normalized(interactions, &item_counts, (self.user_degree_exponent(), self.degree_exponent())),
            Some(baseline) => residuals(interactions, baseline),
        };
        let (values, vectors, iteration) = decompose(&matrix, self, seed, progress)?;
        let mut item_factors = item_factors(&values, &vectors);
        drop(vectors);
        let gram = gram(item_factors.view());
        if baseline.is_none() {
            for (mut row, count) in item_factors.rows_mut().into_iter().zip(&item_counts) {
                #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32; overflow is checked")]
                row.mapv_inplace(|factor| (f64::from(factor) * self.degree_power(*count, 1.0)) as f32);
            }
        }
        check_finite(Side::Item, item_factors.view(), iteration)?;
        let counts = baseline.is_none().then_some(item_counts.as_slice());
        let user_factors = project(interactions, &matrix, (&item_factors, &gram), counts, self)
            .map_err(|(row, source)| FitError::Row { side: Side::User, row, iteration, source })?;
        let two_hop = self.two_hop().map(|two_hop| {
            let spectrum = Spectrum::of(gram.diag().iter().copied());
            TwoHopModel::of_decomposition(interactions, &item_counts, (&two_hop, spectrum), seed)
        });
        Ok(Model {
            user_factors,
            item_factors,
            gram,
            two_hop,
            item_counts: if baseline.is_none() { item_counts } else { Vec::new() },
            mean_degree_weight: None,
            ratings: baseline.map(|Biases { scale, user, item }| RatingBiases { scale, users: user, items: item }),
            params: ValidParams::Svd(*self),
        })
    }
}

/// Residuals of ratings after the bias baseline.
fn residuals(interactions: &Interactions, baseline: &Biases) -> Interactions {
    let mut values = Vec::with_capacity(interactions.nnz());
    for (user, bias) in baseline.user.iter().enumerate() {
        let (items, ratings) = interactions.row(user);
        values.extend(
            items
                .iter()
                .zip(ratings)
                .map(|(&item, &rating)| residual(rating, baseline.scale.mean, *bias, baseline.item[item as usize])),
        );
    }
    interactions.with_values(values)
}

/// Squared singular values in descending order, right singular vectors in the first columns, and
/// the number of iterations.
fn decompose(
    matrix: &Interactions,
    params: &ValidSvdParams,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(Vec<f64>, Array2<f32>, u32), FitError> {
    let (factors, iterations) = (params.factors(), params.iterations());
    let total: f64 = matrix.values().iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    let basis_of = |iteration| move |NotFinite| FitError::Basis { side: Side::Item, iteration };
    let mut subspace = Subspace::new(matrix, factors, seed).map_err(basis_of(1))?;
    let mut explained: f64 = 0.0;
    let mut iteration = 0;
    while iteration < iterations {
        iteration += 1;
        subspace.iterate().map_err(basis_of(iteration))?;
        let before = explained;
        explained = subspace.squares().take(factors).sum();
        if progress(&IterationReport { iteration, iterations, objective: (total - explained).max(0.0) }).is_break() {
            return Err(FitError::Cancelled { iteration });
        }
        if (explained - before).abs() <= CONVERGED * explained {
            break;
        }
    }
    Ok((subspace.squares().take(factors).collect(), subspace.into_vectors(), iteration))
}

/// VΣ, with zero columns beyond the rank. The sign of a singular vector is arbitrary: it is chosen
/// so that the entry of maximum absolute value is positive.
fn item_factors(values: &[f64], vectors: &Array2<f32>) -> Array2<f32> {
    let min = RANK_PRECISION * values.first().copied().unwrap_or(0.0);
    let mut extremes = vec![0.0_f32; values.len()];
    for row in vectors.rows() {
        for (extreme, x) in extremes.iter_mut().zip(row) {
            *extreme = if x.abs() > extreme.abs() { *x } else { *extreme };
        }
    }
    let lengths = values.iter().map(|value| if *value > min { value.sqrt() } else { 0.0 });
    let scales: Vec<f64> =
        lengths.zip(extremes).map(|(length, extreme)| if extreme < 0.0 { -length } else { length }).collect();
    let mut rows = Array2::zeros((vectors.nrows(), values.len()));
    let to = rows.as_slice_mut().expect("a new matrix is in standard layout").par_chunks_mut(values.len());
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

/// Row of every user, computed as by fold-in.
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
    let solve = |(): &mut (), row: usize, out: &mut [f32]| {
        let projected = if item_counts.is_some() {
            let (items, values) = interactions.row(row);
            projection.project_into(items, &projection.weights(items, values), out)
        } else {
            let (items, values) = matrix.row(row);
            projection.project_into(items, values, out)
        };
        projected.map(|()| 0.0)
    };
    solve_rows(&mut rows, || (), solve)?;
    Ok(rows)
}

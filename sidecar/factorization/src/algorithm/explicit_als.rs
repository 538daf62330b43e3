//! Alternating least squares on ratings. Each half-iteration solves factors and bias of every row
//! of one side.

use ndarray::{Array2, ArrayView1};

use super::Algorithm;
use crate::{
    aligned,
    biases::BIAS_SHRINKAGE,
    conjugate_gradient::{Buffers, CellWeightBuffer, CgRow, RowObjective, padded},
    eigenbasis::rotate_into_eigenbasis,
    factor_rows::{solve_rows, starting_factors, without_padding},
    fit::{Fit, IterationReport, Progress},
    fit_error::{FitError, Side},
    fold_in::{FoldIn, Parts},
    gibbs::Chain,
    gram::gram,
    interactions::Interactions,
    memory::{EIGENBASIS_SQUARES, FitSize, total},
    model::{Model, RatingBiases},
    objective::{squared_norm, sum_rows},
    params::{AlsSolver, ValidExplicitAlsParams, ValidParams},
    posterior::Posterior,
    rating_solver::{RatingFoldIn, RatingSolver},
    ratings::RatingScale,
    row_solver::SolveError,
    warm_start::WarmStart,
};

/// Samples that are discarded between the last iteration and the first kept sample. ADR 16 has the
/// figures.
const BURN_IN: u32 = 10;

impl Algorithm for ValidExplicitAlsParams {
    fn factors(&self) -> usize {
        self.factors()
    }

    fn fit_bytes(&self, size: &FitSize) -> u64 {
        // The bias is one more column.
        let (f, order) = (self.factors(), self.factors() + 1);
        let width = padded(order);
        // Sums over samples, their mean and its rotated copy, all for the items in f64.
        let samples = if self.samples() > 0 { size.items.saturating_mul(4 * 8 * order as u64) } else { 0 };
        total([
            size.factor_bytes(f, width),
            size.scratch_bytes(order),
            size.square_bytes(width, EIGENBASIS_SQUARES),
            samples,
        ])
    }

    fn fold_in<'a>(&'a self, parts: Parts<'a>) -> Result<Box<dyn FoldIn + 'a>, SolveError> {
        let ratings = parts.ratings.ok_or(SolveError::AlgorithmMismatch)?;
        Ok(Box::new(RatingFoldIn::new(parts.items, ratings, self)?))
    }
}

impl Fit for ValidExplicitAlsParams {
    /// An iteration solves all items, then all users. It starts from random users. Gibbs samples,
    /// if any, follow; for these, `progress` gets the sum of squared errors as the objective.
    /// Training ends with exact users.
    fn fit(
        &self,
        ratings: &Interactions,
        seed: u64,
        warm_start: Option<&WarmStart<'_>>,
        progress: &mut Progress<'_>,
    ) -> Result<Model, FitError> {
        let Some(scale) = RatingScale::from_ratings(ratings) else { return Err(FitError::Empty) };
        let f = self.factors();
        let by_item = ratings.transpose();
        // A rating is a product of two factors, so each is initialized in the square root of its
        // unit.
        let unit = f64::from(scale.deviation).sqrt();
        let width = padded(f + 1);
        let mut users = starting_factors(ratings.users(), f, seed, unit, width);
        let mut items = aligned::zeros(ratings.items(), width);
        if let Some(earlier) = warm_start {
            earlier.check(f)?;
            earlier.copy_users(&mut users);
            earlier.copy_items(&mut items);
            let mut biases = vec![0.0; ratings.users()];
            earlier.copy_user_biases(&mut biases);
            users.column_mut(f).assign(&ArrayView1::from(&biases));
        }
        let sampling = if self.samples() > 0 { BURN_IN + self.samples() } else { 0 };
        let iterations = self.iterations() + sampling;
        let mut objective = 0.0;
        for iteration in 1..=self.iterations() {
            let failed =
                |side: Side| move |(row, source): (usize, SolveError)| FitError::Row { side, row, iteration, source };
            rotate_into_eigenbasis(&mut users, &mut items, f).ok_or(FitError::Basis { side: Side::User, iteration })?;
            half_iteration(&by_item, &mut users, &mut items, scale, self, self.solver()).map_err(failed(Side::Item))?;
            rotate_into_eigenbasis(&mut items, &mut users, f).ok_or(FitError::Basis { side: Side::Item, iteration })?;
            let solver = if iteration < iterations { self.solver() } else { AlsSolver::Cholesky };
            let row_terms =
                half_iteration(ratings, &mut items, &mut users, scale, self, solver).map_err(failed(Side::User))?;
            objective = row_terms + regularization_term(&by_item, &items, &scale, self);
            if progress(&IterationReport { iteration, iterations, objective }).is_break() {
                return Err(FitError::Cancelled { iteration });
            }
        }
        if sampling > 0 {
            let chain = Chain::new(ratings, &by_item, scale, self, seed, objective);
            sample(chain, &mut users, &mut items, progress)?;
        }
        let (user_biases, item_biases) = (users.column(f).to_vec(), items.column(f).to_vec());
        let item_factors = without_padding(items, f);
        Ok(Model {
            gram: gram(item_factors.view()),
            user_factors: without_padding(users, f),
            item_factors,
            item_counts: Vec::new(),
            mean_degree_weight: None,
            ratings: Some(RatingBiases { scale, users: user_biases, items: item_biases }),
            two_hop: None,
            params: ValidParams::ExplicitAls(*self),
        })
    }
}

/// Draws samples, starting from the factors of ALS. Replaces the items by the served ones and the
/// users by exact rows.
fn sample(
    mut chain: Chain<'_>,
    users: &mut Array2<f32>,
    items: &mut Array2<f32>,
    progress: &mut Progress<'_>,
) -> Result<(), FitError> {
    let Chain { by_user, by_item, scale, params, .. } = chain;
    let mut posterior = Posterior::new(items.nrows(), params.factors());
    let begin = params.iterations() + BURN_IN;
    let iterations = begin + params.samples();
    for iteration in params.iterations() + 1..=iterations {
        let failed = |(side, row, source)| FitError::Row { side, row, iteration, source };
        let mut objective = chain.draw_iteration(users, items, iteration).map_err(failed)?;
        if iteration > begin {
            posterior.add((by_user, users), (by_item, items), chain.precision);
        }
        if iteration == iterations {
            let served = posterior.write_served_items((by_user, by_item), scale, params, items);
            served.ok_or(FitError::Basis { side: Side::User, iteration })?;
            let row_terms = half_iteration(by_user, items, users, scale, params, AlsSolver::Cholesky)
                .map_err(|(row, source)| failed((Side::User, row, source)))?;
            objective = row_terms + regularization_term(by_item, items, &scale, params);
        }
        if progress(&IterationReport { iteration, iterations, objective }).is_break() {
            return Err(FitError::Cancelled { iteration });
        }
    }
    Ok(())
}

/// Solves every row of one side. Returns the sum of their objective terms, or the error of the
/// lowest row that failed; neither depends on threads. Rows of both sides are factors, bias and
/// padding. While a side is fixed, its bias column is 1, the coefficient of the other side's bias.
fn half_iteration(
    rows: &Interactions,
    fixed: &mut Array2<f32>,
    solved: &mut Array2<f32>,
    scale: RatingScale,
    params: &ValidExplicitAlsParams,
    solver: AlsSolver,
) -> Result<f64, (usize, SolveError)> {
    let (f, width) = (params.factors(), fixed.ncols());
    let biases = fixed.column(f).to_vec();
    fixed.column_mut(f).fill(1.0);
    let fixed_rows = fixed.as_slice().expect("factor matrices are in standard layout");
    let sum = match solver {
        AlsSolver::ConjugateGradient { steps } => solve_rows(
            solved,
            || Buffers::new(width),
            |buffers, row, out| {
                let (indexes, ratings) = rows.row(row);
                let upcoming = &rows.columns()[rows.offsets()[row]..];
                let row_objective = Targets { ratings, biases: &biases, scale, params };
                CgRow { fixed: fixed_rows, indexes, upcoming, row_objective, steps, buffers, row: out }.solve()
            },
        ),
        AlsSolver::Cholesky => {
            let solver = RatingSolver::padded(fixed_rows, width, &biases, scale, params);
            solve_rows(
                solved,
                || RatingSolver::scratch(params),
                |scratch, row, out| {
                    let (indexes, ratings) = rows.row(row);
                    let (factors, bias) = out.split_at_mut(f);
                    solver.solve_into(indexes, ratings, scratch, factors, &mut bias[0])
                },
            )
        }
    };
    for (to, bias) in fixed.column_mut(f).iter_mut().zip(biases) {
        *to = bias;
    }
    sum
}

/// Row objective of ratings: a = 1, b = r − μ − c.
struct Targets<'a> {
    ratings: &'a [f32],
    biases: &'a [f32],
    scale: RatingScale,
    params: &'a ValidExplicitAlsParams,
}

impl RowObjective for Targets<'_> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rows are solved in single precision")]
    fn write_terms(
        &self,
        indexes: &[u32],
        diagonal: &mut [f32],
        cell_weights: &mut CellWeightBuffer,
    ) -> Result<f64, SolveError> {
        let mut squares = 0.0;
        for (&index, &rating) in indexes.iter().zip(self.ratings) {
            let target = rating - self.scale.mean - self.biases[index as usize];
            squares += f64::from(target) * f64::from(target);
            cell_weights.push(1.0, target);
        }
        let f = self.params.factors();
        diagonal[..f].fill(self.params.factor_regularization(indexes.len(), &self.scale) as f32);
        diagonal[f] = BIAS_SHRINKAGE as f32;
        diagonal[f + 1..].fill(0.0);
        Ok(squares)
    }
}

/// λσ Σ n^ν ‖row‖² + β Σ bias² of one side, whose ratings are `rows`.
fn regularization_term(
    rows: &Interactions,
    solved: &Array2<f32>,
    scale: &RatingScale,
    params: &ValidExplicitAlsParams,
) -> f64 {
    let f = params.factors();
    sum_rows(rows.users(), |row| {
        let bias = f64::from(solved[[row, f]]);
        params.factor_regularization(rows.row(row).0.len(), scale)
            * squared_norm(solved.row(row).slice_move(ndarray::s![..f]))
            + BIAS_SHRINKAGE * bias * bias
    })
}

//! Alternating least squares on ratings: each half-sweep solves factors and bias of every row of one side.

use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView1};

use crate::{
    aligned,
    als::{FitError, Side, SweepReport, solve_rows, starting_factors, turn, without_padding},
    biases::BIAS_SHRINKAGE,
    descent::{Buffers, Descent, Pairs, Terms, padded},
    gibbs::Chain,
    gram::gram,
    interactions::Interactions,
    model::{Model, RatingBiases},
    objective::{squared_norm, sum_rows},
    params::{AlsSolver, ValidExplicitAlsParams, ValidParams},
    posterior::Posterior,
    rating_solver::RatingSolver,
    ratings::RatingScale,
    row_solver::SolveError,
    start::Earlier,
};

/// Draws between the last sweep and the first sample. ADR 16 has the figures.
const BURN_IN: u32 = 10;

/// Fits explicit ALS on the ambient rayon pool. `progress` is called after every sweep and may cancel.
///
/// A sweep solves all items, then all users; it starts from random users. Samples, if any, follow. Training ends with exact
/// users. While samples are drawn, `progress` gets their squared errors for an objective.
///
/// # Errors
/// Nothing to learn from, a row that cannot be solved (named), or cancelled.
pub fn fit_explicit_als(
    ratings: &Interactions,
    params: &ValidExplicitAlsParams,
    seed: u64,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    fit(ratings, params, seed, None, progress)
}

/// [`fit_explicit_als`] from where an earlier model ended: see [`crate::start`].
///
/// # Errors
/// As [`fit_explicit_als`], and an earlier model with another number of factors.
pub fn fit_explicit_als_from(
    ratings: &Interactions,
    params: &ValidExplicitAlsParams,
    seed: u64,
    earlier: &Earlier<'_>,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    fit(ratings, params, seed, Some(earlier), progress)
}

fn fit(
    ratings: &Interactions,
    params: &ValidExplicitAlsParams,
    seed: u64,
    earlier: Option<&Earlier<'_>>,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<Model, FitError> {
    let Some(scale) = RatingScale::of(ratings) else { return Err(FitError::Empty) };
    let f = params.factors();
    let by_item = ratings.transpose();
    // Two factors multiply to a rating, so each starts with the root of its unit.
    let unit = f64::from(scale.deviation).sqrt();
    let width = padded(f + 1);
    let mut users = starting_factors(ratings.users(), f, seed, unit, width);
    let mut items = aligned::zeros(ratings.items(), width);
    if let Some(earlier) = earlier {
        earlier.check(f)?;
        earlier.put_users(&mut users);
        earlier.put_items(&mut items);
        let mut biases = vec![0.0; ratings.users()];
        earlier.put_user_biases(&mut biases);
        users.column_mut(f).assign(&ArrayView1::from(&biases));
    }
    let sampling = if params.samples() > 0 { BURN_IN + params.samples() } else { 0 };
    let sweeps = params.iterations() + sampling;
    let mut objective = 0.0;
    for sweep in 1..=params.iterations() {
        let failed = |side: Side| move |(row, source): (usize, SolveError)| FitError::Row { side, row, sweep, source };
        turn(&mut users, &mut items, f).ok_or(FitError::Basis { side: Side::User, sweep })?;
        half_sweep(&by_item, &mut users, &mut items, scale, params, params.solver()).map_err(failed(Side::Item))?;
        turn(&mut items, &mut users, f).ok_or(FitError::Basis { side: Side::Item, sweep })?;
        let solver = if sweep < sweeps { params.solver() } else { AlsSolver::Cholesky };
        let row_terms =
            half_sweep(ratings, &mut items, &mut users, scale, params, solver).map_err(failed(Side::User))?;
        objective = row_terms + regularization_term(&by_item, &items, &scale, params);
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    if sampling > 0 {
        let chain = Chain::starting(ratings, &by_item, scale, params, seed, objective);
        sample(chain, &mut users, &mut items, progress)?;
    }
    let (user_biases, item_biases) = (users.column(f).to_vec(), items.column(f).to_vec());
    let item_factors = without_padding(items, f);
    Ok(Model {
        gram: gram(item_factors.view()),
        user_factors: without_padding(users, f),
        item_factors,
        item_counts: Vec::new(),
        mean_share: None,
        ratings: Some(RatingBiases { scale, users: user_biases, items: item_biases }),
        params: ValidParams::ExplicitAls(*params),
    })
}

/// Draws samples from where the sweeps ended. Leaves the items that are served, and exact users.
fn sample(
    mut chain: Chain<'_>,
    users: &mut Array2<f32>,
    items: &mut Array2<f32>,
    progress: &mut dyn FnMut(&SweepReport) -> ControlFlow<()>,
) -> Result<(), FitError> {
    let Chain { by_user, by_item, scale, params, .. } = chain;
    let mut posterior = Posterior::new(items.nrows(), params.factors());
    let begin = params.iterations() + BURN_IN;
    let sweeps = begin + params.samples();
    for sweep in params.iterations() + 1..=sweeps {
        let failed = |(side, row, source)| FitError::Row { side, row, sweep, source };
        let mut objective = chain.sweep(users, items, sweep).map_err(failed)?;
        if sweep > begin {
            posterior.add((by_user, users), (by_item, items), chain.precision);
        }
        if sweep == sweeps {
            let served = posterior.serve((by_user, by_item), scale, params, items);
            served.ok_or(FitError::Basis { side: Side::User, sweep })?;
            let row_terms = half_sweep(by_user, items, users, scale, params, AlsSolver::Cholesky)
                .map_err(|(row, source)| failed((Side::User, row, source)))?;
            objective = row_terms + regularization_term(by_item, items, &scale, params);
        }
        if progress(&SweepReport { sweep, sweeps, objective }).is_break() {
            return Err(FitError::Cancelled { sweep });
        }
    }
    Ok(())
}

/// Solves every row of one side; gives the sum of their terms, or the lowest row that failed, so that neither depends on
/// threads. Rows of both sides are factors, bias and padding; while a side is fixed, 1 stands for its bias, which is what the bias of
/// the other side is multiplied by.
fn half_sweep(
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
                let terms = Targets { ratings, biases: &biases, scale, params };
                Descent { fixed: fixed_rows, indexes, upcoming, terms, steps, buffers, row: out }.solve()
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

/// What a row of ratings minimizes: a = 1, b = r − μ − c.
struct Targets<'a> {
    ratings: &'a [f32],
    biases: &'a [f32],
    scale: RatingScale,
    params: &'a ValidExplicitAlsParams,
}

impl Terms for Targets<'_> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rows are solved in single precision")]
    fn start(&self, indexes: &[u32], diagonal: &mut [f32], evidence: &mut Pairs) -> Result<f64, SolveError> {
        let mut squares = 0.0;
        for (&index, &rating) in indexes.iter().zip(self.ratings) {
            let target = rating - self.scale.mean - self.biases[index as usize];
            squares += f64::from(target) * f64::from(target);
            evidence.push(1.0, target);
        }
        let f = self.params.factors();
        diagonal[..f].fill(self.params.factor_regularization(indexes.len(), &self.scale) as f32);
        diagonal[f] = BIAS_SHRINKAGE as f32;
        diagonal[f + 1..].fill(0.0);
        Ok(squares)
    }
}

/// λσ Σ n^ν ‖row‖² + β Σ bias² of one side; `rows` has that side's rows.
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

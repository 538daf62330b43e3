//! Alternating least squares on implicit data. Each half-iteration solves every row of one side in
//! the eigenbasis of the fixed side's Gram matrix, in which that matrix is diagonal.

use std::borrow::Cow;

use ndarray::{Array1, Array2, ArrayView1};

use super::Algorithm;
use crate::{
    aligned,
    conjugate_gradient::{Buffers, CgRow, Weights, padded},
    degrees::{apply_popularity_boost, degree_weighted, remove_popularity_boost},
    eigenbasis::rotate_into_eigenbasis,
    factor_rows::{check_finite, solve_rows, starting_factors, without_padding},
    fit::{Fit, IterationReport, Progress},
    fit_error::{FitError, Side},
    fold_in::{FoldIn, Parts},
    history_solver::HistorySolver,
    interactions::Interactions,
    memory::{EIGENBASIS_SQUARES, FitSize, total},
    model::Model,
    objective::regularization_term,
    params::{AlsSolver, ValidAlsParams, ValidParams},
    popularity::popularity,
    row_solver::{RowSolver, Scratch, SolveError},
    two_hop::{Span, TwoHopModel},
    two_hop_params::TwoHopParams,
    warm_start::WarmStart,
};

/// Maximum number of iterations of a fit whose lists decide another parameter. Of fewer, the factors
/// leave more to the two-hop term than those of a whole fit (ADR 42).
const COMPARED_ITERATIONS_MAX: u32 = 10;

impl Algorithm for ValidAlsParams {
    fn factors(&self) -> usize {
        self.factors()
    }

    fn fit_bytes(&self, size: &FitSize) -> u64 {
        let f = self.factors();
        let width = padded(f);
        // Served items in addition to the fitted ones; with padding they are the copy without it.
        let served = if width > f || !self.has_popularity_boost() { 0 } else { size.item_bytes(f) };
        let degrees =
            if self.has_degrees() { size.orientation_bytes().saturating_add(size.rows().saturating_mul(8)) } else { 0 };
        // What is walked; besides the normalized matrix, and item factors and their image.
        let two_hop = match self.two_hop() {
            Some(_) => {
                total([size.two_hop_bytes(), size.orientation_bytes(), size.rows().saturating_mul(4 * f as u64)])
            }
            None => 0,
        };
        total([
            size.factor_bytes(f, width),
            size.scratch_bytes(f),
            size.square_bytes(width, EIGENBASIS_SQUARES),
            degrees,
            served,
            two_hop,
        ])
    }

    fn two_hop(&self) -> Option<TwoHopParams> {
        self.two_hop()
    }

    fn with_co_occurrence_weight(&self, weight: f64) -> Option<ValidParams> {
        (*self).with_co_occurrence_weight(weight).map(ValidParams::Als)
    }

    fn for_comparison(&self) -> Option<ValidParams> {
        Some(ValidParams::Als(self.for_choice(COMPARED_ITERATIONS_MAX)))
    }

    fn fold_in<'a>(&'a self, parts: Parts<'a>) -> Result<Box<dyn FoldIn + 'a>, SolveError> {
        if parts.ratings.is_some() {
            return Err(SolveError::AlgorithmMismatch);
        }
        Ok(Box::new(HistorySolver::new(parts, self)?))
    }
}

impl Fit for ValidAlsParams {
    /// An iteration solves all items, then all users. It starts from random users, so training ends
    /// with users, which are exact unless the fit only decides another parameter.
    fn fit(
        &self,
        data: &Interactions,
        seed: u64,
        warm_start: Option<&WarmStart<'_>>,
        progress: &mut Progress<'_>,
    ) -> Result<Model, FitError> {
        if data.nnz() == 0 {
            return Err(FitError::Empty);
        }
        let f = self.factors();
        let (interactions, degrees) = degree_weighted(data, self);
        let interactions = &*interactions;
        let boosted = degrees.as_ref().filter(|_| self.has_popularity_boost()).map(|(counts, _)| counts.as_slice());
        let by_item = interactions.transpose();
        let mut users = starting_factors(interactions.users(), f, seed, 1.0, padded(f));
        let mut items = aligned::zeros(interactions.items(), padded(f));
        if let Some(earlier) = warm_start {
            earlier.check(f)?;
            earlier.copy_users(&mut users);
            // Conjugate gradient steps start from the current row, so items are warm-started, too.
            earlier.copy_items(&mut items);
            if let Some(counts) = boosted {
                remove_popularity_boost(&mut items, counts, self);
            }
        }
        let mut served = None;
        let mut item_gram = Array2::zeros((f, f));
        let iterations = self.iterations();
        for iteration in 1..=iterations {
            let failed =
                |side: Side| move |(row, source): (usize, SolveError)| FitError::Row { side, row, iteration, source };
            let user_basis = rotate_into_eigenbasis(&mut users, &mut items, f)
                .ok_or(FitError::Basis { side: Side::User, iteration })?;
            half_iteration(&by_item, (&users, &user_basis), &mut items, self, self.solver())
                .map_err(failed(Side::Item))?;
            let item_basis = rotate_into_eigenbasis(&mut items, &mut users, f)
                .ok_or(FitError::Basis { side: Side::Item, iteration })?;
            let solver = if iteration < iterations { self.solver() } else { self.last_solver() };
            if iteration == iterations
                && let Some(counts) = boosted
            {
                let boosted_items = apply_popularity_boost(&mut items, counts, self);
                check_finite(Side::Item, boosted_items.view(), iteration)?;
                served = Some(boosted_items);
            }
            let row_terms = half_iteration(interactions, (&items, &item_basis), &mut users, self, solver)
                .map_err(failed(Side::User))?;
            item_gram = Array2::from_diag(&Array1::from(item_basis));
            let objective = row_terms + regularization_term(&by_item, items.view(), self);
            if progress(&IterationReport { iteration, iterations, objective }).is_break() {
                return Err(FitError::Cancelled { iteration });
            }
        }
        let (item_counts, mean_degree_weight) = degrees.unzip();
        let item_factors = served.unwrap_or_else(|| without_padding(items, f));
        let two_hop = self.two_hop().map(|params| {
            let counts = item_counts.as_ref().map_or_else(|| Cow::Owned(popularity(data).0), Cow::Borrowed);
            let span = Span::new(data, &counts, item_factors.view(), &params)
                .ok_or(FitError::Basis { side: Side::Item, iteration: iterations })?;
            Ok(TwoHopModel::of_span(data, &counts, (&params, span), seed))
        });
        Ok(Model {
            user_factors: without_padding(users, f),
            two_hop: two_hop.transpose()?,
            item_factors,
            gram: item_gram,
            item_counts: item_counts.unwrap_or_default(),
            mean_degree_weight,
            ratings: None,
            params: ValidParams::Als(*self),
        })
    }
}

/// Solves every row of one side. Returns the sum of their objective terms, or the error of the
/// lowest row that failed; neither depends on threads. `fixed` is the other side and the
/// eigenvalues of its Gram matrix, which is diagonal.
fn half_iteration(
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
            let mut weighted_eigenvalues = vec![0.0; width];
            for (to, value) in weighted_eigenvalues.iter_mut().zip(values) {
                #[expect(clippy::cast_possible_truncation, reason = "rows are solved in f32")]
                let weighted = (params.unobserved_weight() * value) as f32;
                *to = weighted;
            }
            let (weighted_eigenvalues, length) = (weighted_eigenvalues.as_slice(), fixed.len() / width);
            solve_rows(
                solved,
                || Buffers::new(width),
                |buffers, row, out| {
                    let (indexes, weights) = rows.row(row);
                    let upcoming = &rows.columns()[rows.offsets()[row]..];
                    let row_objective = Weights { entries: weights, weighted_eigenvalues, length, params };
                    CgRow { fixed, indexes, upcoming, row_objective, steps, buffers, row: out }.solve()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{interactions::Entry, objective::objective, params::AlsParams, random::below, random::word};

    #[test]
    fn no_half_iteration_raises_the_objective() {
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
                let basis = rotate_into_eigenbasis(fixed, solved, 12).unwrap();
                let terms = half_iteration(rows, (fixed, &basis), solved, &params, solver).unwrap();
                let reported = terms + regularization_term(&rows.transpose(), fixed.view(), &params);
                let next = objective(&by_user, users.view(), items.view(), &params);
                assert!(next <= last + 1e-6 * last.abs(), "half-iteration {half}: {next} after {last}");
                assert!((reported - next).abs() <= 1e-5 * next.abs(), "half-iteration {half}: {next}, not {reported}");
                last = next;
            }
        }
    }
}

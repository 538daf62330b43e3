//! Solves the row of a history in a model of implicit ALS, whose weights may be degree-weighted and
//! whose served items may have a popularity boost.

use std::borrow::Cow;

use ndarray::ArrayView2;

use crate::{
    degrees::{Degrees, degree_weighted_row},
    fold_in::{FoldIn, Parts, UserVector},
    influence::{Influence, Inverse},
    params::ValidAlsParams,
    row_solver::{RowSolver, Scratch, SolveError, check_counts},
};

/// Fold-in into a model of implicit ALS.
#[derive(Debug)]
pub(crate) struct HistorySolver<'a> {
    solver: RowSolver<'a>,
    served: ArrayView2<'a, f32>,
    /// `None` without degree weights.
    degrees: Option<Degrees<'a>>,
}

impl<'a> HistorySolver<'a> {
    pub(crate) fn new(parts: Parts<'a>, params: &'a ValidAlsParams) -> Result<Self, SolveError> {
        let solver = RowSolver::new(parts.items, parts.gram, params)?;
        if params.has_degrees() {
            check_counts(parts.degrees.item_counts, parts.items.nrows())?;
        }
        Ok(Self { solver, served: parts.items, degrees: params.has_degrees().then_some(parts.degrees) })
    }

    /// Entries must be valid.
    fn fitted<'b>(&self, items: &'b [u32], values: &'b [f32]) -> FittedHistory<'b> {
        let params = self.solver.params;
        let boosted = self.degrees.filter(|_| params.has_popularity_boost());
        let rows = boosted.map(|Degrees { item_counts, mean_degree_weight: _ }| {
            let row = |item: &u32| {
                let item = *item as usize;
                let inverse = params.inverse_popularity_boost(item_counts[item]);
                self.served.row(item).into_iter().map(move |factor| factor * inverse)
            };
            (items.iter().flat_map(row).collect(), (0_u32..).zip(items).map(|(index, _)| index).collect())
        });
        FittedHistory { weights: degree_weighted_row(items, values, self.degrees, params), items, rows }
    }
}

impl FoldIn for HistorySolver<'_> {
    fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<UserVector, SolveError> {
        let history = self.fitted(items, values);
        let (solver, indexes) = history.solver(&self.solver);
        Ok(UserVector::new(solver.solve(indexes, &history.weights)?, 0.0))
    }

    fn influence(&self, items: &[u32], values: &[f32]) -> Result<Option<Influence>, SolveError> {
        let params = self.solver.params;
        let mut scratch = Scratch::new(params.factors());
        let history = self.fitted(items, values);
        let (solver, indexes) = history.solver(&self.solver);
        solver.factor(indexes, &history.weights, &mut scratch)?;
        // Contributions are to scores of served items, so weights are scaled to fitted ones.
        let inverse_boost =
            |item: &u32| self.degrees.map_or(1.0, |d| params.inverse_popularity_boost(d.item_counts[*item as usize]));
        let linear = history.weights.iter().map(|value| params.cell_weights(*value).linear);
        let linear_weights = linear.zip(items).map(|(b, item)| b * f64::from(inverse_boost(item))).collect();
        Ok(Some(Influence { linear_weights, inverse: Inverse::Factor { matrix: scratch.matrix, bias: false } }))
    }

    fn exclude_cold_items(&mut self, items: usize) {
        self.solver = self.solver.excluding_cold_items(items);
    }
}

/// A history in terms of the fitted weights and items.
struct FittedHistory<'a> {
    /// Weights, degree-weighted if the model is.
    weights: Cow<'a, [f32]>,
    items: &'a [u32],
    /// Fitted rows of the history's items and the row index of each entry; `None` if served items
    /// are the fitted ones.
    rows: Option<(Vec<f32>, Vec<u32>)>,
}

impl FittedHistory<'_> {
    /// The solver of this history, and the index of each entry among the solver's rows.
    fn solver<'a>(&'a self, solver: &'a RowSolver<'a>) -> (RowSolver<'a>, &'a [u32]) {
        match &self.rows {
            Some((rows, indexes)) => (solver.of_rows(rows), indexes),
            None => (*solver, self.items),
        }
    }
}

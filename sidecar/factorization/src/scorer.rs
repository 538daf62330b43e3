//! From a taste to items, for every kind of model; on one in memory as well as on one mapped from a file.

use ndarray::ArrayView2;

use crate::{
    biases::solve_bias,
    degrees::{Degrees, FittedHistory},
    pair_solver::PairSolver,
    params::ValidParams,
    projection::{Projection, remainder},
    rating_solver::RatingSolver,
    ratings::{RatingScale, mean_rating},
    row_solver::{RowSolver, SolveError, check_counts, check_entries},
    top_k::{Scored, top_k_each},
};

/// What a model knows of a user: a row of factors, and a bias where items are rated (else 0).
#[derive(Clone, Debug, PartialEq)]
pub struct Taste {
    /// As many as the model has.
    pub factors: Vec<f32>,
    /// In units of the rating.
    pub bias: f32,
}

impl Taste {
    /// Whether it says nothing: then the order of items would be that of everybody, or arbitrary.
    pub fn is_empty(&self) -> bool {
        self.bias == 0.0 && self.factors.iter().all(|factor| *factor == 0.0)
    }
}

/// A model's parts, borrowed and found to belong together. Making one is cheap.
#[derive(Clone, Copy, Debug)]
pub struct Scorer<'a> {
    user_factors: ArrayView2<'a, f32>,
    pub(crate) item_factors: ArrayView2<'a, f32>,
    pub(crate) fold_in: FoldIn<'a>,
    pub(crate) ratings: Option<Ratings<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FoldIn<'a> {
    /// With degrees where weights have shares.
    Als(RowSolver<'a>, Option<Degrees<'a>>),
    ExplicitAls(RatingSolver<'a>),
    Svd(Projection<'a>),
    Bpr(PairSolver<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratings<'a> {
    pub(crate) scale: RatingScale,
    users: &'a [f32],
    pub(crate) items: &'a [f32],
}

impl<'a> Scorer<'a> {
    /// Of user factors, item factors and Gram matrix, as in [`crate::Model`], in standard layout; how many users chose each item;
    /// and, for a model of ratings, scale, biases of users and biases of items.
    ///
    /// # Errors
    /// Parts that do not belong together.
    pub fn new(
        (user_factors, item_factors, gram): (ArrayView2<'a, f32>, ArrayView2<'a, f32>, ArrayView2<'a, f64>),
        degrees: Degrees<'a>,
        ratings: Option<(RatingScale, &'a [f32], &'a [f32])>,
        params: &'a ValidParams,
    ) -> Result<Self, SolveError> {
        let ratings = ratings.map(|(scale, users, items)| Ratings { scale, users, items });
        let (users, factors) = user_factors.dim();
        if factors != params.factors() || user_factors.to_slice().is_none() {
            let gram = gram.dim();
            return Err(SolveError::Shape { rows: users, columns: factors, gram, factors: params.factors() });
        }
        if let Some(Ratings { scale: _, users: biases, items }) = ratings {
            for (biases, rows) in [(biases.len(), users), (items.len(), item_factors.nrows())] {
                if biases != rows {
                    return Err(SolveError::Biases { biases, rows });
                }
            }
        }
        let fold_in = match (params, ratings) {
            (ValidParams::Als(params), None) => {
                let solver = RowSolver::new(item_factors, gram, params)?;
                if params.has_degrees() {
                    check_counts(degrees.item_counts, item_factors.nrows())?;
                }
                FoldIn::Als(solver, params.has_degrees().then_some(degrees))
            }
            (ValidParams::ExplicitAls(params), Some(Ratings { scale, users: _, items })) => {
                FoldIn::ExplicitAls(RatingSolver::new(item_factors, items, scale, params)?)
            }
            (ValidParams::Svd(params), None) => {
                FoldIn::Svd(Projection::new(item_factors, gram, Some(degrees.item_counts), params)?)
            }
            (ValidParams::Svd(params), Some(_)) => FoldIn::Svd(Projection::new(item_factors, gram, None, params)?),
            (ValidParams::Bpr(params), None) => FoldIn::Bpr(PairSolver::new(item_factors, params)?),
            (ValidParams::Als(_) | ValidParams::Bpr(_), Some(_)) | (ValidParams::ExplicitAls(_), None) => {
                return Err(SolveError::Kind);
            }
        };
        Ok(Self { user_factors, item_factors, fold_in, ratings })
    }

    /// The same, where the last items have factors by their attributes alone (see [`crate::Model::append_items`]): they may be recommended and
    /// stand in a history, and change no other user's taste.
    #[must_use]
    pub fn with_cold_items(mut self, items: usize) -> Self {
        match &mut self.fold_in {
            FoldIn::Als(solver, _) => *solver = solver.without_last(items),
            FoldIn::Bpr(solver) => *solver = solver.without_last(items),
            FoldIn::ExplicitAls(_) | FoldIn::Svd(_) => {}
        }
        self
    }

    /// The scale of a model of ratings.
    pub fn scale(&self) -> Option<&RatingScale> {
        self.ratings.as_ref().map(|ratings| &ratings.scale)
    }

    /// The taste of a user of the training data.
    pub fn stored(&self, user: u32) -> Option<Taste> {
        let user = user as usize;
        if user >= self.user_factors.nrows() {
            return None;
        }
        let bias = self.ratings.as_ref().and_then(|ratings| ratings.users.get(user)).copied().unwrap_or(0.0);
        Some(Taste { factors: self.user_factors.row(user).to_vec(), bias })
    }

    /// The taste that these entries say (items ascending, each once), as the fit computes it: for a stored user's own
    /// entries it is the stored one, bit for bit.
    ///
    /// # Errors
    /// Entries that are out of range, out of order or not finite, or equations that cannot be solved.
    pub fn fold_in(&self, items: &[u32], values: &[f32]) -> Result<Taste, SolveError> {
        match &self.fold_in {
            FoldIn::Als(solver, degrees) => {
                check_entries(items, values, self.item_factors.nrows())?;
                let history = FittedHistory::of((items, values), self.item_factors, *degrees, solver.params);
                let (solver, places) = history.solver(solver);
                let factors = solver.solve(places, &history.weights)?;
                Ok(Taste { factors, bias: 0.0 })
            }
            FoldIn::ExplicitAls(solver) => {
                let row = solver.solve(items, values)?;
                Ok(Taste { factors: row.factors, bias: row.bias })
            }
            FoldIn::Svd(projection) => self.project(projection, items, values),
            FoldIn::Bpr(solver) => {
                check_entries(items, values, solver.items())?;
                let mut factors = vec![0.0; self.item_factors.ncols()];
                solver.solve_into(items, values, &mut factors)?;
                Ok(Taste { factors, bias: 0.0 })
            }
        }
    }

    fn project(&self, projection: &Projection<'_>, items: &[u32], values: &[f32]) -> Result<Taste, SolveError> {
        check_entries(items, values, projection.items())?;
        let mut taste = Taste { factors: vec![0.0; projection.factors()], bias: 0.0 };
        let row: Vec<f32> = match self.ratings {
            None => projection.weights(items, values),
            Some(Ratings { scale, users: _, items: biases }) => {
                taste.bias = solve_bias(&scale, biases, items, values);
                let rated = items.iter().zip(values);
                rated.map(|(&item, &r)| remainder(r, scale.mean, taste.bias, biases[item as usize])).collect()
            }
        };
        projection.project_into(items, &row, &mut taste.factors)?;
        Ok(taste)
    }

    /// As [`Self::fold_in`], for entries in any order, which [`Self::merge`] together.
    ///
    /// # Errors
    /// As [`Self::fold_in`].
    pub fn fold_in_entries(&self, entries: &[(u32, f32)]) -> Result<Taste, SolveError> {
        let (items, values) = self.merge(entries);
        self.fold_in(&items, &values)
    }

    /// Entries in any order as a history: items ascending, each once. Weights of one item add, ratings (brought onto the
    /// scale) give their mean.
    pub fn merge(&self, entries: &[(u32, f32)]) -> (Vec<u32>, Vec<f32>) {
        let mut sorted = entries.to_vec();
        sorted.sort_unstable_by(|x, y| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)));
        let merged = sorted.chunk_by(|x, y| x.0 == y.0).map(|same| {
            let values = same.iter().map(|entry| entry.1);
            let value = match self.scale() {
                None => values.reduce(|sum, weight| sum + weight),
                // NaN would become an end of the scale; it is to be refused.
                Some(_) if same.iter().any(|entry| entry.1.is_nan()) => None,
                Some(scale) => mean_rating(&mut values.map(|rating| scale.clip(rating)).collect::<Vec<_>>()),
            };
            (same[0].0, value.unwrap_or(f32::NAN))
        });
        merged.unzip()
    }

    /// The `n` best items for a taste, of those that `keep` lets pass. Where items are rated the score is the predicted
    /// rating, brought onto the scale after the order is found.
    pub fn best(&self, taste: &Taste, n: usize, keep: impl Fn(u32) -> bool) -> Vec<Scored> {
        self.best_of_each(std::slice::from_ref(taste), n, |_, item| keep(item)).pop().unwrap_or_default()
    }

    /// [`Self::best`] for each taste, equal to it and quicker; `keep` gets the taste's number too.
    pub fn best_of_each(&self, tastes: &[Taste], n: usize, keep: impl Fn(usize, u32) -> bool) -> Vec<Vec<Scored>> {
        let queries: Vec<&[f32]> = tastes.iter().map(|taste| taste.factors.as_slice()).collect();
        let biases = self.ratings.map(|ratings| ratings.items);
        let mut lists = top_k_each(&queries, self.item_factors, biases, n, keep);
        if let Some(scale) = self.scale() {
            for (list, taste) in lists.iter_mut().zip(tastes) {
                for scored in list {
                    scored.score = scale.clip(scale.mean + taste.bias + scored.score);
                }
            }
        }
        lists
    }

    /// The predicted rating of an item, on the scale; `None` for a model that is not one of ratings, or an item that is not
    /// there.
    pub fn rating(&self, taste: &Taste, item: u32) -> Option<f32> {
        let Ratings { scale, users: _, items } = self.ratings?;
        let bias = items.get(item as usize)?;
        let row = self.item_factors.row(item as usize);
        let mut product = [0.0];
        crate::lanes::dots(&taste.factors, row.to_slice()?, &mut product);
        Some(scale.clip(scale.mean + taste.bias + (product[0] + bias)))
    }
}

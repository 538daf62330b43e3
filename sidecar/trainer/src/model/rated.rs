//! Errors of predicted ratings on the held-out set, of the model and of the bias baseline.
//!
//! Predictions are clipped to the scale of the training part. In lists, an item is relevant if the
//! user rated it no worse than most ratings.

use factorization::{Biases, Interactions, Lift, Model, bootstrap_reduction};
use rayon::prelude::*;
use sidecar_contract::Measurement;

use super::ranked::{BOOTSTRAP_RESAMPLES, RankingEvaluation};

/// The baseline: global mean, user biases and item biases.
pub(super) struct BiasBaseline(Biases);

impl BiasBaseline {
    /// Fits to the training part and folds in users who are not in it. `None` without ratings.
    pub(super) fn fit(training: &Interactions, folded_in: Option<&Interactions>) -> Option<Self> {
        let biases = Biases::fit(training)?;
        Some(Self(match folded_in {
            Some(ratings) => biases.fold_in(ratings),
            None => biases,
        }))
    }
}

/// Errors of predicted ratings, and metrics of lists.
pub(super) struct RatingEvaluation {
    /// For each user with held-out ratings, ascending by user.
    errors: Vec<Errors>,
    lists: RankingEvaluation,
}

/// Errors on one user's held-out ratings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Errors {
    user: u32,
    ratings: usize,
    squares: f64,
    absolutes: f64,
}

impl RatingEvaluation {
    /// `None` for a model that predicts no ratings.
    pub(super) fn model(
        model: &Model,
        bias_baseline: &BiasBaseline,
        history: &Interactions,
        test: &Interactions,
        k: usize,
    ) -> Option<Self> {
        let errors = errors_of(model, test)?;
        let lists = RankingEvaluation::model(model, history, &bias_baseline.0.scale.likes(test), k);
        Some(Self { errors, lists })
    }

    /// Evaluation of predicted ratings and of lists that are not a model's of this run: `predict`
    /// returns a user's ratings of the given items, `lists` is as in [`RankingEvaluation::of`].
    pub(super) fn of(
        bias_baseline: &BiasBaseline,
        history: &Interactions,
        test: &Interactions,
        k: usize,
        predict: impl Fn(u32, &[u32]) -> Option<Vec<f32>> + Sync,
        lists: impl Fn(&[u32]) -> Vec<Vec<u32>> + Sync,
    ) -> Self {
        let likes = bias_baseline.0.scale.likes(test);
        Self { errors: errors(test, predict), lists: RankingEvaluation::of(history, &likes, k, lists) }
    }

    /// Root mean squared error, and each user's sum of squared errors; `None` for a model that
    /// predicts no ratings, or without held-out ratings.
    pub(super) fn rmse(model: &Model, test: &Interactions) -> Option<(f64, Vec<(u32, f64)>)> {
        let errors = errors_of(model, test)?;
        Some((rmse(&errors)?, errors.iter().map(|errors| (errors.user, errors.squares)).collect()))
    }

    /// The bias baseline gives the same list to all users.
    pub(super) fn bias_baseline(
        bias_baseline: &BiasBaseline,
        history: &Interactions,
        test: &Interactions,
        k: usize,
    ) -> Self {
        let BiasBaseline(biases) = bias_baseline;
        let errors = errors(test, |user, items| Some(items.iter().map(|item| biases.rating(user, *item)).collect()));
        Self {
            errors,
            lists: RankingEvaluation::constant_list(&biases.items_by_bias(), history, &biases.scale.likes(test), k),
        }
    }

    pub(super) fn users(&self) -> usize {
        self.errors.len()
    }

    /// Relative reduction of the root mean squared error compared with a reference.
    pub(super) fn lift(&self, reference: &Self, seed: u64) -> Option<Lift> {
        let squares = |rated: &Self| rated.errors.iter().map(|user| user.squares).collect::<Vec<_>>();
        bootstrap_reduction(&squares(self), &squares(reference), seed, BOOTSTRAP_RESAMPLES)
    }

    pub(super) fn measurement(&self) -> Measurement {
        Measurement {
            rmse: rmse(&self.errors),
            mae: mean(&self.errors, |user| user.absolutes),
            ..self.lists.measurement()
        }
    }
}

fn rmse(errors: &[Errors]) -> Option<f64> {
    mean(errors, |user| user.squares).map(f64::sqrt)
}

/// Mean over all ratings; `None` without ratings.
fn mean(errors: &[Errors], of: fn(&Errors) -> f64) -> Option<f64> {
    let ratings: usize = errors.iter().map(|user| user.ratings).sum();
    (ratings > 0).then(|| errors.iter().map(of).sum::<f64>() / ratings as f64)
}

/// `None` for a model that predicts no ratings.
fn errors_of(model: &Model, test: &Interactions) -> Option<Vec<Errors>> {
    let scorer = model.scorer().ok()?;
    scorer.scale()?;
    Some(errors(test, |user, items| {
        let vector = scorer.stored(user)?;
        items.iter().map(|item| scorer.rating(&vector, *item)).collect()
    }))
}

/// Errors per user; `predict` returns a user's predicted ratings of the given items.
fn errors(test: &Interactions, predict: impl Fn(u32, &[u32]) -> Option<Vec<f32>> + Sync) -> Vec<Errors> {
    (0..u32::try_from(test.users()).unwrap_or(u32::MAX))
        .into_par_iter()
        .filter_map(|user| {
            let (items, ratings) = test.row(user as usize);
            if items.is_empty() {
                return None;
            }
            let mut errors = Errors { user, ..Errors::default() };
            for (predicted, actual) in predict(user, items)?.iter().zip(ratings) {
                let error = f64::from(*predicted) - f64::from(*actual);
                errors.ratings += 1;
                errors.squares += error * error;
                errors.absolutes += error.abs();
            }
            Some(errors)
        })
        .collect()
}

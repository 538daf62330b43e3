//! How far predicted ratings are from those that were kept: of the model, and of averages.
//!
//! Predictions are brought onto the scale of the training part. For lists, relevant is what a user rated no worse than most
//! ratings are.

use factorization::{Biases, Interactions, Lift, Model, bootstrap_reduction};
use rayon::prelude::*;
use sidecar_contract::Measurement;

use super::{measure::BOOTSTRAP_RESAMPLES, ranked::Ranked};

/// The baseline: averages of the ratings, of users and of items.
pub(super) struct Averages(Biases);

impl Averages {
    /// Fitted to the training part; of users who are not in it, folded in. `None` without ratings.
    pub(super) fn of(training: &Interactions, folded_in: Option<&Interactions>) -> Option<Self> {
        let biases = Biases::fit(training)?;
        Some(Self(match folded_in {
            Some(ratings) => biases.fold_in(ratings),
            None => biases,
        }))
    }
}

/// Predictions held against ratings, and lists against likes.
pub(super) struct Rated {
    /// For each user with kept ratings, ascending by user.
    errors: Vec<Errors>,
    lists: Ranked,
}

/// Errors of one user's kept ratings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Errors {
    ratings: usize,
    squares: f64,
    absolutes: f64,
}

impl Rated {
    /// `None` for a model that predicts no ratings.
    pub(super) fn model(
        model: &Model,
        averages: &Averages,
        met: &Interactions,
        test: &Interactions,
        k: usize,
    ) -> Option<Self> {
        let errors = errors_of(model, test)?;
        let lists = Ranked::model(model, met, &averages.0.scale.likes(test), k);
        Some(Self { errors, lists })
    }

    /// Root mean squared error alone; `None` for a model that predicts no ratings, or without kept ones.
    pub(super) fn rmse(model: &Model, test: &Interactions) -> Option<f64> {
        rmse(&errors_of(model, test)?)
    }

    /// By averages everybody gets the same list.
    pub(super) fn averages(averages: &Averages, met: &Interactions, test: &Interactions, k: usize) -> Self {
        let Averages(biases) = averages;
        let errors = errors(test, |user, items| Some(items.iter().map(|item| biases.rating(user, *item)).collect()));
        Self { errors, lists: Ranked::same_for_all(&biases.items_by_bias(), met, &biases.scale.likes(test), k) }
    }

    pub(super) fn users(&self) -> usize {
        self.errors.len()
    }

    /// Of the root mean squared error: by how much it is smaller.
    pub(super) fn lift(&self, over: &Self, seed: u64) -> Option<Lift> {
        let squares = |rated: &Self| rated.errors.iter().map(|user| user.squares).collect::<Vec<_>>();
        bootstrap_reduction(&squares(self), &squares(over), seed, BOOTSTRAP_RESAMPLES)
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

/// Over all ratings; `None` without.
fn mean(errors: &[Errors], of: fn(&Errors) -> f64) -> Option<f64> {
    let ratings: usize = errors.iter().map(|user| user.ratings).sum();
    (ratings > 0).then(|| errors.iter().map(of).sum::<f64>() / ratings as f64)
}

/// `None` for a model that predicts no ratings.
fn errors_of(model: &Model, test: &Interactions) -> Option<Vec<Errors>> {
    let scorer = model.scorer().ok()?;
    scorer.scale()?;
    Some(errors(test, |user, items| {
        let taste = scorer.stored(user)?;
        items.iter().map(|item| scorer.rating(&taste, *item)).collect()
    }))
}

/// `predict` gives a user's ratings of these items.
fn errors(test: &Interactions, predict: impl Fn(u32, &[u32]) -> Option<Vec<f32>> + Sync) -> Vec<Errors> {
    (0..u32::try_from(test.users()).unwrap_or(u32::MAX))
        .into_par_iter()
        .filter_map(|user| {
            let (items, ratings) = test.row(user as usize);
            if items.is_empty() {
                return None;
            }
            let mut errors = Errors::default();
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

//! Training part and held-out set of a split, and the fit of the training part.

use factorization::{Interactions, Model, ValidParams, split::draw_users};
use sidecar_contract::{Signal, TrainingConfig};

use super::{
    fit, interactions,
    split::{Subset, is_in},
};
use crate::{
    failure::{FailureReason, RunError, chain},
    merge::InteractionTable,
    progress::Progress,
    weights::SplitWeighting,
};

/// Maximum number of test users, whose lists would take longer than the fits of large data. On
/// Gowalla a 95 % interval of NDCG over so many is ±4 % of it, that of the difference of two models
/// ±0.6 %.
pub(super) const TEST_USERS_MAX: usize = 10_000;
/// Stream of the random numbers that draw test users.
const TEST_USER_STREAM: u64 = u64::MAX;

/// The rows of at most this number of users with rows, drawn at random.
pub(super) fn of_drawn_users(test: &Interactions, max: usize, seed: u64) -> Interactions {
    test.only_users(&draw_users(users_with_rows(test), max, seed, TEST_USER_STREAM))
}

/// Users with rows, ascending.
#[expect(clippy::cast_possible_truncation, reason = "users ≤ INDEX_MAX")]
fn users_with_rows(test: &Interactions) -> impl Iterator<Item = u32> {
    (0..test.users() as u32).filter(|user| !test.row(*user as usize).1.is_empty())
}

/// Training part and held-out set of a split.
pub(super) struct Parts {
    training: Interactions,
    /// Histories of users who are excluded from the fit.
    folded_in: Option<Interactions>,
    /// Held-out interactions of the test users, who have a history.
    test: Interactions,
    /// Pairs that lists exclude, if these are more than the history.
    unlisted: Option<Interactions>,
}

impl Parts {
    /// The parts of a split, with at most [`TEST_USERS_MAX`] test users; `None` if there are none.
    pub(super) fn new(
        config: &TrainingConfig,
        table: &InteractionTable,
        subsets: &[Subset],
    ) -> Result<Option<Self>, RunError> {
        let subset = |subset| move |position: usize| is_in(subsets, position, subset);
        let training = interactions(table, subset(Subset::Train))?;
        let weights = SplitWeighting::fit(&config.weights, table, &training, subset(Subset::Train));
        let training = weights.transform(training, subset(Subset::Train));
        let folded_in = subsets.contains(&Subset::FoldIn).then(|| interactions(table, subset(Subset::FoldIn)));
        let folded_in = folded_in.transpose()?.map(|rows| weights.transform(rows, subset(Subset::FoldIn)));
        let history = folded_in.as_ref().unwrap_or(&training);
        let history_subset = subset(if folded_in.is_some() { Subset::FoldIn } else { Subset::Train });
        let is_known = |user: usize| match config.signal {
            Signal::Implicit => history.row(user).1.iter().any(|weight| *weight > 0.0),
            Signal::Explicit => !history.row(user).1.is_empty(),
        };
        // Held-out weights are not transformed: the evaluation needs only their signs, or the
        // ratings themselves.
        let test = interactions(table, subset(Subset::Test))?.keep_users(is_known);
        let is_unlisted = |position| is_in(subsets, position, Subset::Known) || history_subset(position);
        let unlisted = subsets.contains(&Subset::Known).then(|| interactions(table, is_unlisted)).transpose()?;
        let parts = Self { training, folded_in, test, unlisted };
        Ok((parts.test.nnz() > 0).then(|| parts.limit_test_users(TEST_USERS_MAX, config.seed)))
    }

    /// The same parts with at most this number of test users, drawn at random.
    pub(super) fn limit_test_users(self, max: usize, seed: u64) -> Self {
        Self { test: self.test_of_sample(max, seed), ..self }
    }

    /// Held-out interactions of at most this number of test users, drawn at random.
    pub(super) fn test_of_sample(&self, max: usize, seed: u64) -> Interactions {
        of_drawn_users(&self.test, max, seed)
    }

    pub(super) fn training(&self) -> &Interactions {
        &self.training
    }

    /// Histories of users who are excluded from the fit.
    pub(super) fn folded_in(&self) -> Option<&Interactions> {
        self.folded_in.as_ref()
    }

    pub(super) fn test(&self) -> &Interactions {
        &self.test
    }

    /// Histories of the test users.
    pub(super) fn history(&self) -> &Interactions {
        self.folded_in.as_ref().unwrap_or(&self.training)
    }

    /// Pairs that lists exclude.
    pub(super) fn unlisted(&self) -> &Interactions {
        self.unlisted.as_ref().unwrap_or_else(|| self.history())
    }

    /// Users with held-out interactions, ascending.
    pub(super) fn test_users(&self) -> impl Iterator<Item = u32> {
        users_with_rows(&self.test)
    }

    /// Fits a model to the training part and folds in the test users that are excluded from it.
    pub(super) fn fit(
        &self,
        params: &ValidParams,
        config: &TrainingConfig,
        progress: &dyn Progress,
    ) -> Result<Model, RunError> {
        let (model, _) = fit(&self.training, params, config.seed, None, progress)?;
        match &self.folded_in {
            None => Ok(model),
            Some(histories) => model.with_users(histories).map_err(|error| {
                let message = format!("cannot fold in the held-out users: {}", chain(&error));
                RunError::permanent(FailureReason::TrainingDiverged, message)
            }),
        }
    }
}

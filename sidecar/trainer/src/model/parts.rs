//! Training part and held-out set of a split, and the fit of the training part.

use factorization::{Interactions, Model, ValidParams};
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

/// Training part and held-out set of a split.
pub(super) struct Parts {
    training: Interactions,
    /// Histories of users who are excluded from the fit.
    folded_in: Option<Interactions>,
    /// Held-out interactions of users with a history.
    test: Interactions,
}

impl Parts {
    /// The parts of a split; `None` if there are no test users.
    pub(super) fn new(
        config: &TrainingConfig,
        table: &InteractionTable,
        subsets: &[Subset],
    ) -> Result<Option<Self>, RunError> {
        let subset = |subset| move |position: usize| is_in(subsets, position, subset);
        let training = interactions(table, subset(Subset::Train))?;
        let weights = SplitWeighting::fit(&config.weights, table, &training, subset(Subset::Train));
        let training = weights.transform(training);
        let folded_in = subsets.contains(&Subset::FoldIn).then(|| interactions(table, subset(Subset::FoldIn)));
        let folded_in = folded_in.transpose()?.map(|rows| weights.transform(rows));
        let history = folded_in.as_ref().unwrap_or(&training);
        let is_known = |user: usize| match config.signal {
            Signal::Implicit => history.row(user).1.iter().any(|weight| *weight > 0.0),
            Signal::Explicit => !history.row(user).1.is_empty(),
        };
        // Held-out weights are not transformed: the evaluation needs only their signs, or the
        // ratings themselves.
        let test = interactions(table, subset(Subset::Test))?.keep_users(is_known);
        Ok((test.nnz() > 0).then_some(Self { training, folded_in, test }))
    }

    /// The same parts with only the test users that `keep` selects.
    pub(super) fn restrict_test_users(self, keep: impl Fn(usize) -> bool) -> Self {
        Self { test: self.test.keep_users(keep), ..self }
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

    /// Number of users with held-out interactions.
    pub(super) fn test_users(&self) -> usize {
        (0..self.test.users()).filter(|user| !self.test.row(*user).1.is_empty()).count()
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

//! How many of the kept items come first: of the model, and of popularity.

use factorization::{Interactions, Lift, Model, RankingMetrics, bootstrap_lift, evaluate_ranking, popularity};
use sidecar_contract::Measurement;

use super::measure::BOOTSTRAP_RESAMPLES;

/// Lists held against what the users met later.
pub(super) struct Ranked(RankingMetrics);

impl Ranked {
    pub(super) fn model(model: &Model, training: &Interactions, test: &Interactions, k: usize) -> Self {
        Self(evaluate_ranking(test, k, |user| {
            let met = training.row(user as usize).0;
            model.recommend(user, k, met).into_iter().map(|scored| scored.item).collect()
        }))
    }

    pub(super) fn popularity(training: &Interactions, test: &Interactions, k: usize) -> Self {
        let (_, popular) = popularity(training);
        Self::same_for_all(&popular, training, test, k)
    }

    /// Everybody gets the items in this order.
    pub(super) fn same_for_all(order: &[u32], training: &Interactions, test: &Interactions, k: usize) -> Self {
        Self(evaluate_ranking(test, k, |user| {
            let met = training.row(user as usize).0;
            order.iter().filter(|item| met.binary_search(item).is_err()).take(k).copied().collect()
        }))
    }

    pub(super) fn users(&self) -> usize {
        self.0.users.len()
    }

    /// Of the mean NDCG.
    pub(super) fn lift(&self, over: &Self, seed: u64) -> Option<Lift> {
        let ndcgs = |scores: &RankingMetrics| scores.users.iter().map(|user| user.ndcg).collect::<Vec<_>>();
        bootstrap_lift(&ndcgs(&self.0), &ndcgs(&over.0), seed, BOOTSTRAP_RESAMPLES)
    }

    pub(super) fn measurement(&self) -> Measurement {
        Measurement { recall: self.0.recall(), ndcg: self.0.ndcg(), rmse: None, mae: None }
    }
}

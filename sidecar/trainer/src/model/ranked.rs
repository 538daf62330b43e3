//! How many of the kept items come first: of the model, and of popularity.

use std::sync::atomic::{AtomicU64, Ordering};

use factorization::{Interactions, Lift, Model, RankingMetrics, bootstrap_lift, evaluate_ranking, gini, popularity};
use sidecar_contract::{ActivityGroup, Measurement};

use super::measure::BOOTSTRAP_RESAMPLES;

/// Groups of users by activity.
const GROUPS: usize = 10;

/// Lists held against what the users met later, and how many of them hold each item.
pub(super) struct Ranked(RankingMetrics, Vec<u64>);

impl Ranked {
    pub(super) fn model(model: &Model, met: &Interactions, test: &Interactions, k: usize) -> Self {
        Self::of(met, test, k, |users| {
            let lists = model.recommend_each(users, k, |user| met.row(user as usize).0);
            lists.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect()
        })
    }

    /// Of the training part, without what a user has met.
    pub(super) fn popularity(training: &Interactions, met: &Interactions, test: &Interactions, k: usize) -> Self {
        let (_, popular) = popularity(training);
        Self::same_for_all(&popular, met, test, k)
    }

    /// Everybody gets the items in this order.
    pub(super) fn same_for_all(order: &[u32], met: &Interactions, test: &Interactions, k: usize) -> Self {
        let list = |user: &u32| {
            let (met, _) = met.row(*user as usize);
            order.iter().filter(|item| met.binary_search(item).is_err()).take(k).copied().collect()
        };
        Self::of(met, test, k, |users| users.iter().map(list).collect())
    }

    fn of(met: &Interactions, test: &Interactions, k: usize, lists: impl Fn(&[u32]) -> Vec<Vec<u32>> + Sync) -> Self {
        let shown: Vec<AtomicU64> = (0..met.items()).map(|_| AtomicU64::new(0)).collect();
        let scores = evaluate_ranking(test, k, |users| {
            let lists = lists(users);
            for item in lists.iter().flatten().filter_map(|item| shown.get(*item as usize)) {
                item.fetch_add(1, Ordering::Relaxed);
            }
            lists
        });
        Self(scores, shown.into_iter().map(AtomicU64::into_inner).collect())
    }

    /// Mean NDCG beside the baseline's, of tenths of the users by how many items they had met.
    pub(super) fn by_activity(&self, baseline: &Self, met: &Interactions) -> Vec<ActivityGroup> {
        let met = |user: u32| met.row(user as usize).0.len();
        let pairs = self.0.users.iter().zip(&baseline.0.users);
        let mut users: Vec<(usize, f64, f64)> =
            pairs.map(|(ours, theirs)| (met(ours.user), ours.ndcg, theirs.ndcg)).collect();
        users.sort_by_key(|(met, _, _)| *met);
        let group = |users: &[(usize, f64, f64)]| {
            let mean = |of: fn(&(usize, f64, f64)) -> f64| users.iter().map(of).sum::<f64>() / users.len() as f64;
            Some(ActivityGroup {
                rows_min: users.first()?.0 as u64,
                rows_max: users.last()?.0 as u64,
                users: users.len() as u64,
                model: mean(|user| user.1),
                baseline: mean(|user| user.2),
            })
        };
        users.chunks(users.len().div_ceil(GROUPS).max(1)).filter_map(group).collect()
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
        let Self(scores, shown) = self;
        let covered = shown.iter().filter(|lists| **lists > 0).count();
        Measurement {
            recall: scores.recall(),
            ndcg: scores.ndcg(),
            rmse: None,
            mae: None,
            precision: scores.precision(),
            map: scores.map(),
            mrr: scores.mrr(),
            coverage: (!shown.is_empty()).then(|| covered as f64 / shown.len() as f64),
            gini: gini(shown),
        }
    }
}

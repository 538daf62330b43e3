//! Ranking metrics on the held-out items, of the model and of the popularity baseline.

use std::sync::atomic::{AtomicU64, Ordering};

use factorization::{Interactions, Lift, Model, RankingMetrics, bootstrap_lift, evaluate_ranking, gini, popularity};
use sidecar_contract::{ActivityGroup, Measurement};

/// Resamples of the bootstrap.
pub(super) const BOOTSTRAP_RESAMPLES: usize = 1000;
/// Number of user groups by activity.
const GROUPS: usize = 10;

/// Metrics of lists compared with the held-out items, and the number of lists that contain each
/// item.
pub(super) struct RankingEvaluation(RankingMetrics, Vec<u64>);

impl RankingEvaluation {
    pub(super) fn model(model: &Model, history: &Interactions, test: &Interactions, k: usize) -> Self {
        let model = model.searchable();
        Self::of(history, test, k, |users| {
            let lists = model.recommend_each(users, k, |user| history.row(user as usize).0);
            lists.into_iter().map(|list| list.into_iter().map(|scored| scored.item).collect()).collect()
        })
    }

    /// Lists of the most popular items of the training part, without the user's history.
    pub(super) fn popularity(training: &Interactions, history: &Interactions, test: &Interactions, k: usize) -> Self {
        let (_, popular) = popularity(training);
        Self::constant_list(&popular, history, test, k)
    }

    /// All users get the items in this order, without their history.
    pub(super) fn constant_list(order: &[u32], history: &Interactions, test: &Interactions, k: usize) -> Self {
        let list = |user: &u32| {
            let (seen, _) = history.row(*user as usize);
            order.iter().filter(|item| seen.binary_search(item).is_err()).take(k).copied().collect()
        };
        Self::of(history, test, k, |users| users.iter().map(list).collect())
    }

    /// `lists(users)` returns the ranked items of each of these users, without the user's history.
    pub(super) fn of(
        history: &Interactions,
        test: &Interactions,
        k: usize,
        lists: impl Fn(&[u32]) -> Vec<Vec<u32>> + Sync,
    ) -> Self {
        let shown: Vec<AtomicU64> = (0..history.items()).map(|_| AtomicU64::new(0)).collect();
        let scores = evaluate_ranking(test, k, |users| {
            let lists = lists(users);
            for item in lists.iter().flatten().filter_map(|item| shown.get(*item as usize)) {
                item.fetch_add(1, Ordering::Relaxed);
            }
            lists
        });
        Self(scores, shown.into_iter().map(AtomicU64::into_inner).collect())
    }

    /// Mean NDCG of the model and of the baseline per tenth of the users, ordered by the number of
    /// items in their history.
    pub(super) fn by_activity(&self, baseline: &Self, history: &Interactions) -> Vec<ActivityGroup> {
        let activity = |user: u32| history.row(user as usize).0.len();
        let pairs = self.0.users.iter().zip(&baseline.0.users);
        let mut users: Vec<(usize, f64, f64)> =
            pairs.map(|(model, baseline)| (activity(model.user), model.ndcg, baseline.ndcg)).collect();
        users.sort_by_key(|(activity, _, _)| *activity);
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

    /// NDCG of each user.
    pub(super) fn ndcgs(&self) -> Vec<f64> {
        self.0.users.iter().map(|user| user.ndcg).collect()
    }

    /// Each user with the user's NDCG.
    pub(super) fn ndcg_by_user(&self) -> Vec<(u32, f64)> {
        self.0.users.iter().map(|scores| (scores.user, scores.ndcg)).collect()
    }

    /// Lift of the mean NDCG over a reference.
    pub(super) fn lift(&self, reference: &Self, seed: u64) -> Option<Lift> {
        bootstrap_lift(&self.ndcgs(), &reference.ndcgs(), seed, BOOTSTRAP_RESAMPLES)
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

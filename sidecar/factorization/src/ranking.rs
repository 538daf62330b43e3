//! Quality of ranked lists, per user and on average.
//!
//! Relevance is binary, and a list ends after k ranks.
//!
//! | metric | per user | reference |
//! |---|---|---|
//! | recall@k | hits / relevant | Manning, Raghavan and Schütze, Introduction to Information Retrieval, chapter 8; LightGCN's figures |
//! | precision@k | hits / k | the same |
//! | MAP@k | mean of the precision at each hit's rank, over min(k, relevant) | the same, cut at k |
//! | MRR@k | 1 / rank of the first hit, or 0 | Voorhees 1999, "The TREC-8 question answering track report" |
//! | NDCG@k | DCG / IDCG with gain 1 and discount log₂(rank + 1), IDCG over min(k, relevant) ranks | Järvelin and Kekäläinen 2002 |
//!
//! Over all lists: coverage, the fraction of items in at least one list (Ge, Delgado-Battenfeld and
//! Jannach 2010, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
//! RecSys, catalog coverage); and [`gini`] of how often each item is recommended, 0 if all items
//! are recommended equally often, near 1 if few items fill all lists (Fleder and Hosanagar 2009,
//! "Blockbuster culture's next rise or fall").
//!
//! Of ratings: [`rmse`], the root of the mean squared error, and the mean absolute error
//! (Herlocker, Konstan, Terveen and Riedl 2004, "Evaluating collaborative filtering recommender
//! systems", TOIS, section 4).

use rayon::prelude::*;

use crate::interactions::Interactions;

/// recall@k of one list against the relevant items (ascending). 0 without relevant items.
pub fn recall_at_k(list: &[u32], relevant: &[u32], k: usize) -> f64 {
    if relevant.is_empty() {
        return 0.0;
    }
    hits(list, relevant, k).count() as f64 / relevant.len() as f64
}

/// precision@k of one list against the relevant items (ascending). 0 for k = 0.
pub fn precision_at_k(list: &[u32], relevant: &[u32], k: usize) -> f64 {
    if k == 0 { 0.0 } else { hits(list, relevant, k).count() as f64 / k as f64 }
}

/// Average precision@k of one list against the relevant items (ascending). 0 without relevant
/// items.
pub fn average_precision_at_k(list: &[u32], relevant: &[u32], k: usize) -> f64 {
    let hits_max = k.min(relevant.len());
    let sum: f64 = (1..).zip(hits(list, relevant, k)).map(|(nth, index)| f64::from(nth) / (index as f64 + 1.0)).sum();
    if hits_max == 0 { 0.0 } else { sum / hits_max as f64 }
}

/// Reciprocal rank@k of one list's first hit against the relevant items (ascending).
pub fn reciprocal_rank_at_k(list: &[u32], relevant: &[u32], k: usize) -> f64 {
    hits(list, relevant, k).next().map_or(0.0, |index| 1.0 / (index as f64 + 1.0))
}

/// Gini coefficient of the counts; `None` if all are 0.
pub fn gini(counts: &[u64]) -> Option<f64> {
    let mut ascending = counts.to_vec();
    ascending.sort_unstable();
    let (total, n) = (ascending.iter().sum::<u64>() as f64, counts.len() as f64);
    // Each count is weighted by the number of smaller counts minus the number of larger ones.
    let weighted: f64 =
        ascending.iter().enumerate().map(|(rank, count)| (2.0 * rank as f64 + 1.0 - n) * *count as f64).sum();
    (total > 0.0).then(|| weighted / (n * total))
}

/// Indexes of the hits among the first k items.
fn hits<'a>(list: &'a [u32], relevant: &'a [u32], k: usize) -> impl Iterator<Item = usize> + 'a {
    list.iter().take(k).enumerate().filter(|(_, item)| relevant.binary_search(item).is_ok()).map(|(index, _)| index)
}

/// NDCG@k of one list against the relevant items (ascending). 0 without relevant items.
pub fn ndcg_at_k(list: &[u32], relevant: &[u32], k: usize) -> f64 {
    ndcg_of_hits(hits(list, relevant, k), relevant.len(), k)
}

/// NDCG@k of the indexes of the hits, which are below k. 0 without relevant items.
pub(crate) fn ndcg_of_hits(hits: impl Iterator<Item = usize>, relevant: usize, k: usize) -> f64 {
    let discount = |index: usize| 1.0 / libm::log2(index as f64 + 2.0);
    let ideal: f64 = (0..k.min(relevant)).map(discount).sum();
    if ideal <= 0.0 { 0.0 } else { hits.map(discount).sum::<f64>() / ideal }
}

/// Metrics of one user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserScores {
    /// User index.
    pub user: u32,
    /// recall@k.
    pub recall: f64,
    /// NDCG@k.
    pub ndcg: f64,
    /// precision@k.
    pub precision: f64,
    /// Average precision@k.
    pub average_precision: f64,
    /// Reciprocal rank@k.
    pub reciprocal_rank: f64,
}

/// Metrics of all test users, ascending by user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankingMetrics {
    /// Per user, for paired comparisons.
    pub users: Vec<UserScores>,
}

impl RankingMetrics {
    /// Mean recall@k; `None` without users.
    pub fn recall(&self) -> Option<f64> {
        self.mean(|scores| scores.recall)
    }

    /// Mean NDCG@k; `None` without users.
    pub fn ndcg(&self) -> Option<f64> {
        self.mean(|scores| scores.ndcg)
    }

    /// Mean precision@k; `None` without users.
    pub fn precision(&self) -> Option<f64> {
        self.mean(|scores| scores.precision)
    }

    /// MAP@k; `None` without users.
    pub fn map(&self) -> Option<f64> {
        self.mean(|scores| scores.average_precision)
    }

    /// MRR@k; `None` without users.
    pub fn mrr(&self) -> Option<f64> {
        self.mean(|scores| scores.reciprocal_rank)
    }

    fn mean(&self, of: impl Fn(&UserScores) -> f64) -> Option<f64> {
        (!self.users.is_empty()).then(|| self.users.iter().map(of).sum::<f64>() / self.users.len() as f64)
    }
}

/// Users whose lists are computed together: enough to share the pass over the items in memory, few
/// enough to hold their lists.
const USERS_PER_BATCH: usize = 64;

/// Evaluates every user with a positive entry in `test`. `lists(users)` returns the ranked items of
/// each of these users, without their training items. Runs on the ambient rayon pool.
#[expect(clippy::cast_possible_truncation, reason = "users ≤ INDEX_MAX")]
pub fn evaluate_ranking(
    test: &Interactions,
    k: usize,
    lists: impl Fn(&[u32]) -> Vec<Vec<u32>> + Sync,
) -> RankingMetrics {
    let relevant = |user: u32| {
        let (items, values) = test.row(user as usize);
        items.iter().zip(values).filter(|(_, value)| **value > 0.0).map(|(item, _)| *item)
    };
    let test_users: Vec<u32> = (0..test.users() as u32).filter(|user| relevant(*user).next().is_some()).collect();
    let score = |user: u32, list: &[u32]| {
        let relevant: Vec<u32> = relevant(user).collect();
        UserScores {
            user,
            recall: recall_at_k(list, &relevant, k),
            ndcg: ndcg_at_k(list, &relevant, k),
            precision: precision_at_k(list, &relevant, k),
            average_precision: average_precision_at_k(list, &relevant, k),
            reciprocal_rank: reciprocal_rank_at_k(list, &relevant, k),
        }
    };
    let users = test_users
        .par_chunks(USERS_PER_BATCH)
        .flat_map_iter(|users| users.iter().zip(lists(users)).map(|(user, list)| score(*user, &list)))
        .collect();
    RankingMetrics { users }
}

/// Root mean squared error of (predicted, actual) pairs; `None` without pairs.
pub fn rmse(pairs: &[(f64, f64)]) -> Option<f64> {
    let sum: f64 = pairs.iter().map(|(predicted, actual)| (predicted - actual) * (predicted - actual)).sum();
    (!pairs.is_empty()).then(|| (sum / pairs.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_match_hand_computed_values() {
        // Hits at ranks 1 and 3 of 5; three relevant items.
        let (list, relevant) = ([7, 1, 4, 2, 3], [4, 7, 9]);
        assert!((recall_at_k(&list, &relevant, 5) - 2.0 / 3.0).abs() < 1e-12);
        // DCG = 1 + 1/log2(4) = 1.5; IDCG = 1 + 1/log2(3) + 1/2 = 2.130929753571457.
        assert!((ndcg_at_k(&list, &relevant, 5) - 1.5 / 2.130_929_753_571_457).abs() < 1e-12);
        assert!((ndcg_at_k(&list, &relevant, 1) - 1.0).abs() < 1e-12);
        assert!((recall_at_k(&list, &[], 5)).abs() < 1e-12);
    }

    #[test]
    fn rmse_of_known_errors() {
        assert_eq!(rmse(&[(1.0, 4.0), (2.0, -2.0)]), Some(12.5_f64.sqrt()));
        assert_eq!(rmse(&[]), None);
    }
}

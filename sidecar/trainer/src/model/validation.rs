//! The splits of the run's training part on which a search compares parameters. The held-out set of
//! the run is not used.
//!
//! Of few users, one held-out tenth is a small sample: on MovieLens 100K, with 943 users, one
//! standard error of a difference is several per cent. Small data is split several times with other
//! seeds, and a user's value is the mean over the splits (repeated hold-out: Kim 2009, "Estimating
//! classification error rate: repeated cross-validation, repeated hold-out and bootstrap",
//! Computational Statistics & Data Analysis 53).

use std::collections::BTreeMap;

use sidecar_contract::TrainingConfig;

use super::{
    evaluator::Value,
    parts::Parts,
    split::{is_determined, split, split_again},
};
use crate::{failure::RunError, merge::InteractionTable};

/// Maximum number of lists that evaluate a trial. With more the evaluation costs more than the fits,
/// without separating the trials better.
const LISTS_MAX: usize = 5000;
/// Maximum number of interactions in all splits if there are several, which bounds their memory and
/// the time of the fits.
const ENTRIES_MAX: usize = 1_000_000;
/// Maximum number of splits.
const SPLITS_MAX: usize = 5;

/// Splits of the training part: one, or several of small data.
pub(super) struct Validation {
    first: Parts,
    others: Vec<Parts>,
}

impl Validation {
    /// `None` if no useful split exists.
    pub(super) fn new(config: &TrainingConfig, table: &InteractionTable) -> Result<Option<Self>, RunError> {
        let Some(outer) = split(config, table)? else { return Ok(None) };
        let inner = |repetition| split_again(config, table, &outer, repetition);
        let Some(first) = inner(0)? else { return Ok(None) };
        let Some(first) = Parts::new(config, table, &first)? else { return Ok(None) };
        let first = first.limit_test_users(LISTS_MAX, config.seed);
        let count =
            if is_determined(config, table)? { 1 } else { splits(first.test_users().count(), first.training().nnz()) };
        let mut others = Vec::new();
        for repetition in 1..count as u64 {
            if let Some(other) = inner(repetition)? {
                others.extend(Parts::new(config, table, &other)?);
            }
        }
        Ok(Some(Self { first, others }))
    }

    /// The first split.
    pub(super) fn first(&self) -> &Parts {
        &self.first
    }

    /// All splits.
    pub(super) fn splits(&self) -> impl Iterator<Item = &Parts> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Number of splits for data with this number of test users and of interactions.
fn splits(test_users: usize, entries: usize) -> usize {
    (LISTS_MAX / test_users.max(1)).min(ENTRIES_MAX / entries.max(1)).clamp(1, SPLITS_MAX)
}

/// What the splits measured of a trial.
#[derive(Debug, PartialEq)]
pub(super) struct MeanValue {
    /// Mean of the gate's metric over the splits.
    pub(super) metric: f64,
    /// Each user's mean over the splits that evaluate the user, in the order of the users; higher is
    /// better.
    pub(super) by_user: Vec<f64>,
}

impl MeanValue {
    /// The mean of what each split measured; `None` if a split measured nothing.
    pub(super) fn mean(values: impl IntoIterator<Item = Option<Value>>) -> Option<Self> {
        let (mut metrics, mut by_user) = (Vec::new(), BTreeMap::<u32, Vec<f64>>::new());
        for value in values {
            let Value { metric, by_user: users } = value?;
            metrics.push(metric);
            for (user, value) in users {
                by_user.entry(user).or_default().push(value);
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let by_user = by_user.values().map(|values| mean(values)).collect();
        (!metrics.is_empty()).then(|| Self { metric: mean(&metrics), by_user })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model_snapshot::StringTable;
    use sidecar_contract::SplitKind;

    use super::*;
    use crate::offline::local_config;

    /// Each of 40 users has all of 20 items.
    fn table(times: Option<Vec<i64>>) -> InteractionTable {
        let ids = |count: u32| (10..10 + count).map(|id| id.to_string()).collect::<StringTable>();
        InteractionTable {
            user_ids: ids(40),
            item_ids: ids(20),
            offsets: (0..=40).map(|user| user * 20).collect(),
            items: (0..40).flat_map(|_| 0..20).collect(),
            weights: vec![1.0; 800],
            times,
            duplicates: 0,
        }
    }

    /// Pairs that each split holds out.
    fn held_out(kind: SplitKind, times: Option<Vec<i64>>) -> Vec<Vec<(usize, u32)>> {
        let mut config = local_config(Path::new("visits.csv"));
        config.evaluation.split = Some(kind);
        let validation = Validation::new(&config, &table(times)).unwrap().unwrap();
        let pairs = |parts: &Parts| {
            let rows = (0..40).map(|user| (user, parts.test().row(user).0));
            rows.flat_map(|(user, items)| items.iter().map(move |item| (user, *item))).collect()
        };
        validation.splits().map(pairs).collect()
    }

    #[test]
    fn splits_of_small_data_hold_out_different_pairs_unless_times_determine_them() {
        for kind in [SplitKind::Random, SplitKind::UserHoldout, SplitKind::LeaveLastOut] {
            let mut splits = held_out(kind, None);
            splits.sort();
            splits.dedup();
            assert_eq!(splits.len(), 5, "{kind:?}");
        }
        let of_random = held_out(SplitKind::Random, None);
        assert!(of_random.iter().all(|pairs| (40..160).contains(&pairs.len())), "about a tenth of 720");
        // Times of twenty days: the last pair of a user may be one of several.
        let times: Vec<i64> = (0..800).map(|at| at * 37 % 800 / 40).collect();
        for (kind, count) in [(SplitKind::Random, 5), (SplitKind::LeaveLastOut, 1), (SplitKind::Time, 1)] {
            assert_eq!(held_out(kind, Some(times.clone())).len(), count, "{kind:?}");
        }
    }

    #[test]
    fn small_data_is_split_several_times() {
        // (test users, interactions) → splits
        for ((users, entries), expected) in [
            ((943, 81_000), 5),
            ((1_892, 75_000), 2),
            ((2_501, 75_000), 1),
            ((30_000, 810_000), 1),
            ((100, 400_000), 2),
            ((100, 2_000_000), 1),
            ((1, 1), 5),
            ((0, 0), 5),
        ] {
            assert_eq!(splits(users, entries), expected, "{users} users, {entries} interactions");
        }
    }

    #[test]
    fn values_are_means_over_the_splits_of_each_user() {
        let value = |metric, by_user: &[(u32, f64)]| Some(Value { metric, by_user: by_user.to_vec() });
        let values = || [value(0.25, &[(3, 0.25), (1, 0.5)]), value(0.75, &[(7, 1.0), (3, 0.75)])];
        assert_eq!(MeanValue::mean(values()), Some(MeanValue { metric: 0.5, by_user: vec![0.5, 0.5, 1.0] }));
        // A trial that fails on one split has no value; means of other splits are not comparable.
        assert_eq!(MeanValue::mean(values().into_iter().chain([None])), None);
        assert_eq!(MeanValue::mean([]), None);
    }
}

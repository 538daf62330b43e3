//! Weights of implicit data. The steps are applied in this order:
//!
//! 1. a row is read: its weight is its rating (1 without a rating) times the weight of its event;
//!    rows of other events are dropped ([`crate::events`]);
//! 2. time decay: the weight halves with each half-life of age, counted from the newest row
//!    ([`apply_time_decay`]);
//! 3. the weights of rows of the same user and item are added ([`crate::merge`]);
//! 4. the decay of the training part is rebased to its own newest row, and the merged weights are
//!    transformed by a logarithm or by BM25 ([`SplitWeighting`]).
//!
//! Therefore, the held-out set does not leak into training: neither its weights nor its times
//! affect the training part. No step changes a sign: a like stays a like.

use std::{cmp::Reverse, collections::BinaryHeap};

use factorization::{FittedWeighting, Interactions, weighting::map_magnitude};
use sidecar_contract::{Weighting, WeightsConfig};

use crate::{failure::RunError, interactions::RawInteractions, merge::InteractionTable};

/// Maximum age in half-lives; older rows have the weight of this age because single precision has
/// no smaller numbers.
const HALF_LIVES_MAX: f64 = 126.0;
const MICROS_PER_SECOND: f64 = 1e6;

/// Distance in half-lives from which the newest rows are far ahead: all others have less than a
/// thousandth of their weight.
const FAR_AHEAD_HALF_LIVES: f64 = 10.0;
/// Fraction of the rows, at least one, whose times may be wrong.
const FAR_AHEAD_FRACTION_MAX: f64 = 0.01;

/// Halves the weight of every row with each half-life of its age, counted from the newest row.
/// Returns the number of rows that are far ahead of all others.
pub(crate) fn apply_time_decay(raw: &mut RawInteractions, weights: &WeightsConfig) -> Result<u64, RunError> {
    let Some(half_life) = half_life_micros(weights) else { return Ok(0) };
    let Some(times) = &raw.times else {
        return Err(RunError::bad_data(
            "spec.data.halfLife requires timestamps, but the data has none: set spec.data.columns.timestamp, or remove halfLife",
        ));
    };
    let newest = times.iter().copied().max().unwrap_or_default();
    for (row, time) in raw.rows.iter_mut().zip(times) {
        row.weight = map_magnitude(row.weight, |weight| weight / decay_divisor(newest, *time, half_life));
    }
    Ok(rows_far_ahead(times, half_life))
}

/// Number of rows that are far ahead of the other rows, if they are few.
fn rows_far_ahead(times: &[i64], half_life: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a length")]
    let few = (times.len() as f64 * FAR_AHEAD_FRACTION_MAX).max(1.0) as usize;
    // The newest rows and the next one.
    let mut newest = BinaryHeap::with_capacity(few + 2);
    for time in times {
        newest.push(Reverse(*time));
        if newest.len() > few + 1 {
            newest.pop();
        }
    }
    let newest_first: Vec<i64> = newest.into_sorted_vec().into_iter().map(|Reverse(time)| time).collect();
    let is_gap = |pair: &[i64]| match pair {
        [newer, older] => newer.saturating_sub(*older) as f64 > FAR_AHEAD_HALF_LIVES * half_life,
        _ => false,
    };
    let gap = newest_first.windows(2).take(few).position(is_gap);
    gap.map_or(0, |before| before as u64 + 1)
}

/// Weighting that is fitted to the training part of a split, and applied to this part and to
/// folded-in histories.
pub(crate) struct SplitWeighting {
    /// Factor that rebases the time decay to the newest row of the training part.
    decay_rebase: f64,
    fitted: FittedWeighting,
}

impl SplitWeighting {
    /// Fits to the training part: `part` holds its merged interactions, and `keep` selects their
    /// positions in the table.
    pub(crate) fn fit(
        weights: &WeightsConfig,
        table: &InteractionTable,
        part: &Interactions,
        keep: impl Fn(usize) -> bool,
    ) -> Self {
        let decay_rebase = half_life_micros(weights).zip(table.times.as_ref()).map_or(1.0, |(half_life, times)| {
            let newest = times.iter().copied().max().unwrap_or_default();
            let kept = times.iter().enumerate().filter(|(position, _)| keep(*position)).map(|(_, time)| *time);
            decay_divisor(newest, kept.max().unwrap_or(newest), half_life)
        });
        let fitted = match weights.weighting {
            Weighting::Bm25 => FittedWeighting::fit(factorization::Weighting::Bm25, &rebased(part, decay_rebase)),
            Weighting::Log => FittedWeighting::fit(factorization::Weighting::Log, part),
            Weighting::None => FittedWeighting::fit(factorization::Weighting::None, part),
        };
        Self { decay_rebase, fitted }
    }

    /// Transforms merged weights to the weights of the fit.
    pub(crate) fn transform(&self, rows: Interactions) -> Interactions {
        #[expect(clippy::float_cmp, reason = "exactly 1 if there is nothing to rebase")]
        let rows = if self.decay_rebase == 1.0 { rows } else { rebased(&rows, self.decay_rebase) };
        self.fitted.transform(rows)
    }
}

fn rebased(rows: &Interactions, by: f64) -> Interactions {
    rows.map_values(|weight| map_magnitude(weight, |weight| weight * by))
}

fn half_life_micros(weights: &WeightsConfig) -> Option<f64> {
    weights.half_life_seconds.map(|seconds| seconds as f64 * MICROS_PER_SECOND)
}

/// 2^(age / half-life).
fn decay_divisor(newest: i64, time: i64, half_life: f64) -> f64 {
    libm::exp2((newest.saturating_sub(time) as f64 / half_life).min(HALF_LIVES_MAX))
}

#[cfg(test)]
mod tests {
    use factorization::Entry;
    use model_snapshot::StringTable;

    use super::*;

    const DAY: i64 = 24 * 3600 * 1_000_000;

    fn weights(half_life_days: u64, weighting: Weighting) -> WeightsConfig {
        WeightsConfig { half_life_seconds: Some(half_life_days * 24 * 3600), weighting, ..WeightsConfig::default() }
    }

    /// Interactions of one user with one item per row.
    fn table(weights: &[f32], times: &[i64]) -> InteractionTable {
        InteractionTable {
            user_ids: std::iter::once("u").collect::<StringTable>(),
            item_ids: (0..weights.len()).map(|item| ["a", "b", "c", "d"][item]).collect::<StringTable>(),
            offsets: vec![0, weights.len() as u64],
            items: (0..).take(weights.len()).collect(),
            weights: weights.to_vec(),
            times: Some(times.to_vec()),
            duplicates: 0,
        }
    }

    #[test]
    fn a_few_rows_far_ahead_of_the_others_are_counted() {
        let days = |days: &[i64]| days.iter().map(|day| day * DAY).collect::<Vec<_>>();
        let count = |times: &[i64]| rows_far_ahead(&days(times), 30.0 * DAY as f64);
        assert_eq!(count(&[5000, 1, 2, 3]), 1);
        assert_eq!(count(&[303, 1, 2, 3]), 0);
        assert_eq!(count(&[304, 1, 2, 3]), 1);
        // Half of the rows are no mistake.
        assert_eq!(count(&[5000, 5001, 2, 3]), 0);
        let many: Vec<i64> = (0..1000).chain([9000, 9001]).collect();
        assert_eq!(count(&many), 2);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn decay_is_rebased_to_the_newest_row_of_the_part() {
        // The newest row is 60 days newer than the newest row of the part: two half-lives of 30
        // days.
        let all = table(&[0.25, -0.125, 0.0, 1.0], &[0, -30 * DAY, 0, 60 * DAY]);
        let keep = |position: usize| position < 3;
        let entries = (0..3).map(|item| Entry { user: 0, item, value: all.weights[item as usize] }).collect();
        let part = Interactions::from_entries(1, 4, entries).unwrap();
        let transform = |weighting| {
            let weights = SplitWeighting::fit(&weights(30, weighting), &all, &part, keep);
            weights.transform(part.clone()).values().to_vec()
        };
        assert_eq!(transform(Weighting::None), [1.0, -0.5, 0.0]);
        let log = transform(Weighting::Log);
        assert!((log[0], log[2]) == (1.0, 0.0) && (log[1] + 1.5_f32.log2()).abs() < 1e-6, "{log:?}");
        // The whole table needs no rebase.
        let weights = SplitWeighting::fit(&weights(30, Weighting::None), &all, &part, |_| true);
        assert_eq!(weights.transform(part.clone()), part);
    }
}

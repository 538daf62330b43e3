//! The half-life of weights, and rows whose times are so far ahead of the others that these have no
//! weight.

use std::{cmp::Reverse, collections::BinaryHeap};

use factorization::weighting::map_magnitude;
use sidecar_contract::WeightsConfig;

use crate::{failure::RunError, interactions::RawInteractions};

/// Maximum age in half-lives; older rows have the weight of this age because single precision has
/// no smaller numbers.
const HALF_LIVES_MAX: f64 = 126.0;
const MICROS_PER_SECOND: f64 = 1e6;

/// Distance in half-lives from which the newest rows are far ahead: all others have less than a
/// thousandth of their weight.
const FAR_AHEAD_HALF_LIVES: f64 = 10.0;
/// Fraction of the rows, at least one, whose times may be wrong.
const FAR_AHEAD_FRACTION_MAX: f64 = 0.01;

/// Time in microseconds in which a weight halves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HalfLife(f64);

impl HalfLife {
    /// That of the config; `None` without one.
    pub(crate) fn of(weights: &WeightsConfig) -> Option<Self> {
        weights.half_life_seconds.map(|seconds| Self(seconds as f64 * MICROS_PER_SECOND))
    }

    /// A weight of this time, halved with each half-life until `newest`.
    pub(crate) fn decayed(self, weight: f32, newest: i64, time: i64) -> f32 {
        let half_lives = (newest.saturating_sub(time) as f64 / self.0).min(HALF_LIVES_MAX);
        map_magnitude(weight, |weight| weight / libm::exp2(half_lives))
    }
}

/// Number of rows that are far ahead of all others, by the half-life; 0 without one.
pub(crate) fn far_ahead(raw: &RawInteractions, weights: &WeightsConfig) -> Result<u64, RunError> {
    let Some(HalfLife(half_life)) = HalfLife::of(weights) else { return Ok(0) };
    let Some(times) = &raw.times else {
        return Err(RunError::bad_data(
            "spec.data.halfLife requires timestamps, but the data has none: set spec.data.columns.timestamp, or remove halfLife",
        ));
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1_000_000;

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
}

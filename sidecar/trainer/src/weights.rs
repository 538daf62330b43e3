//! What a row of implicit data weighs. The order stands here, and nowhere else:
//!
//! 1. a row is read: it weighs its rating (1 without) times the weight of its event; rows of other events are dropped ([`Events`]);
//! 2. it ages: by half with each half-life that it is older than the newest row ([`age`]);
//! 3. rows of the same user and item add ([`crate::merge`]);
//! 4. the part that a fit is to see is made as new as its own newest row, and what its pairs came to is weighed by a logarithm or by
//!    BM25 ([`PartWeights`]).
//!
//! So what a model is measured on has no say in what it learns from: neither its weights nor its times, however new, reach the
//! other part. Signs never change on the way: a like stays a like.

use std::collections::BTreeMap;

use factorization::{Interactions, Weigher, weighting::resized};
use sidecar_contract::{Weighting, WeightsConfig};

use crate::{
    dropped::DropReason,
    failure::Stop,
    interactions::RawInteractions,
    merge::Merged,
    table::{Cell, Digits},
};

/// A row that is older weighs what one of this age weighs: 32-bit floating point has no smaller numbers.
const HALF_LIVES_MAX: f64 = 126.0;
const MICROS_PER_SECOND: f64 = 1e6;

/// What events weigh; empty where there are none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events<'a>(pub(crate) &'a BTreeMap<String, f64>);

impl Events<'_> {
    /// The weight of a row with this event and rating; of one that is not listed there is none.
    pub(crate) fn weight(self, event: Cell<'_>, digits: &mut Digits, rating: f32) -> Result<f32, DropReason> {
        let event = event.id(digits, DropReason::EventNotListed)?;
        let weight = self.0.get(event).ok_or(DropReason::EventNotListed)?;
        let size = resized(rating, |rating| rating * weight.abs());
        Ok(if *weight < 0.0 { -size } else { size })
    }
}

/// Lets every row weigh half with each half-life that it is older than the newest.
pub(crate) fn age(raw: &mut RawInteractions, weights: &WeightsConfig) -> Result<(), Stop> {
    let Some(half_life) = half_life_micros(weights) else { return Ok(()) };
    let Some(times) = &raw.times else {
        return Err(Stop::bad_data(
            "spec.data.halfLife counts from timestamps, and the data has none: set spec.data.columns.timestamp, or remove halfLife",
        ));
    };
    let newest = times.iter().copied().max().unwrap_or_default();
    for (row, time) in raw.rows.iter_mut().zip(times) {
        row.weight = resized(row.weight, |weight| weight / doublings(newest, *time, half_life));
    }
    Ok(())
}

/// How a part of the interactions is weighed for a fit, and what is folded into it.
pub(crate) struct PartWeights {
    /// By how much all rows are younger, counted from the newest of the part.
    renewal: f64,
    weigher: Weigher,
}

impl PartWeights {
    /// Of the part whose positions are kept; `part` has them as they were merged.
    pub(crate) fn of(
        weights: &WeightsConfig,
        merged: &Merged,
        part: &Interactions,
        keep: impl Fn(usize) -> bool,
    ) -> Self {
        let renewal = half_life_micros(weights).zip(merged.times.as_ref()).map_or(1.0, |(half_life, times)| {
            let newest = times.iter().copied().max().unwrap_or_default();
            let kept = times.iter().enumerate().filter(|(position, _)| keep(*position)).map(|(_, time)| *time);
            doublings(newest, kept.max().unwrap_or(newest), half_life)
        });
        let weigher = match weights.weighting {
            Weighting::Bm25 => Weigher::of(factorization::Weighting::Bm25, &renewed(part, renewal)),
            Weighting::Log => Weigher::of(factorization::Weighting::Log, part),
            Weighting::None => Weigher::of(factorization::Weighting::None, part),
        };
        Self { renewal, weigher }
    }

    /// Rows as they were merged, as the fit is to see them.
    pub(crate) fn weigh(&self, rows: Interactions) -> Interactions {
        #[expect(clippy::float_cmp, reason = "exactly 1 where nothing is renewed")]
        let rows = if self.renewal == 1.0 { rows } else { renewed(&rows, self.renewal) };
        self.weigher.weigh(rows)
    }
}

fn renewed(rows: &Interactions, by: f64) -> Interactions {
    rows.map_values(|weight| resized(weight, |weight| weight * by))
}

fn half_life_micros(weights: &WeightsConfig) -> Option<f64> {
    weights.half_life_seconds.map(|seconds| seconds as f64 * MICROS_PER_SECOND)
}

/// 2^(age / half-life).
fn doublings(newest: i64, time: i64, half_life: f64) -> f64 {
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

    /// One user, an item a row.
    fn merged(weights: &[f32], times: &[i64]) -> Merged {
        Merged {
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
    fn a_part_is_as_new_as_its_own_newest_row() {
        // Merged when the newest row was 60 days younger than the newest of the part: two half-lives of 30 days.
        let all = merged(&[0.25, -0.125, 0.0, 1.0], &[0, -30 * DAY, 0, 60 * DAY]);
        let keep = |position: usize| position < 3;
        let entries = (0..3).map(|item| Entry { user: 0, item, value: all.weights[item as usize] }).collect();
        let part = Interactions::from_entries(1, 4, entries).unwrap();
        let weigh = |weighting| {
            let weights = PartWeights::of(&weights(30, weighting), &all, &part, keep);
            weights.weigh(part.clone()).values().to_vec()
        };
        assert_eq!(weigh(Weighting::None), [1.0, -0.5, 0.0]);
        let log = weigh(Weighting::Log);
        assert!((log[0], log[2]) == (1.0, 0.0) && (log[1] + 1.5_f32.log2()).abs() < 1e-6, "{log:?}");
        // Of all there is nothing to renew.
        let weights = PartWeights::of(&weights(30, Weighting::None), &all, &part, |_| true);
        assert_eq!(weights.weigh(part.clone()), part);
    }

    #[test]
    fn events_multiply_ratings_and_those_not_listed_are_none() {
        let listed = [("view".to_owned(), 1.5), ("hide".to_owned(), -2.0), ("7".to_owned(), 3.0)].into();
        let events = Events(&listed);
        let weight = |event, rating| events.weight(event, &mut Digits::default(), rating);
        assert_eq!(weight(Cell::Text(b"view"), 2.0), Ok(3.0));
        assert_eq!(weight(Cell::Text(b"hide"), 1.0), Ok(-2.0));
        assert_eq!(weight(Cell::Int(7), 1.0), Ok(3.0));
        for event in [Cell::Text(b"View"), Cell::Text(b" "), Cell::Null, Cell::Int(8)] {
            assert_eq!(weight(event, 1.0), Err(DropReason::EventNotListed), "{event:?}");
        }
        assert_eq!(weight(Cell::Float(7.0), 1.0), Err(DropReason::WrongType));
    }
}

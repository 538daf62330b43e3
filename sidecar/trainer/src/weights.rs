//! Weights of implicit data. The steps are applied in this order:
//!
//! 1. a row is read: its weight is its rating (1 without a rating) times the weight of its event;
//!    rows of other events are dropped ([`crate::events`]);
//! 2. the weights of rows of the same user and item are added ([`crate::merge`]), each halved with
//!    each half-life between it and the newest of them ([`crate::half_life`]);
//! 3. the merged weight of a part halves with each half-life between the pair's newest row and the
//!    newest row of the training part, and is transformed by a logarithm or by BM25
//!    ([`SplitWeighting`]).
//!
//! Together, steps 2 and 3 halve the weight of a row with each half-life of its age, counted from
//! the newest row of the training part.
//!
//! Therefore, the held-out set does not leak into training: neither its weights nor its times
//! affect the training part. No step changes a sign: a like stays a like.

use factorization::{FittedWeighting, Interactions};
use sidecar_contract::{Weighting, WeightsConfig};

use crate::{half_life::HalfLife, merge::InteractionTable};

/// Weighting that is fitted to the training part of a split, and applied to this part and to
/// folded-in histories.
pub(crate) struct SplitWeighting<'a> {
    decay: Option<Decay<'a>>,
    fitted: FittedWeighting,
}

/// Decay of merged weights until the newest row of the training part.
struct Decay<'a> {
    half_life: HalfLife,
    /// Time of the newest row of the training part.
    newest: i64,
    /// Time of each interaction of the table.
    times: &'a [i64],
}

impl Decay<'_> {
    /// Decays the merged interactions of a part, whose positions in the table `keep` selects.
    fn decayed(&self, rows: &Interactions, keep: impl Fn(usize) -> bool) -> Interactions {
        let mut times = kept(self.times, keep);
        rows.map_values(|weight| self.half_life.decayed(weight, self.newest, times.next().unwrap_or(self.newest)))
    }
}

impl<'a> SplitWeighting<'a> {
    /// Fits to the training part: `part` holds its merged interactions, and `keep` selects their
    /// positions in the table.
    pub(crate) fn fit(
        weights: &WeightsConfig,
        table: &'a InteractionTable,
        part: &Interactions,
        keep: impl Fn(usize) -> bool,
    ) -> Self {
        let decay = HalfLife::of(weights).zip(table.times.as_deref()).map(|(half_life, times)| Decay {
            half_life,
            newest: kept(times, &keep).max().unwrap_or_default(),
            times,
        });
        let fitted = match (weights.weighting, &decay) {
            (Weighting::Bm25, Some(decay)) => {
                FittedWeighting::fit(factorization::Weighting::Bm25, &decay.decayed(part, &keep))
            }
            (Weighting::Bm25, None) => FittedWeighting::fit(factorization::Weighting::Bm25, part),
            (Weighting::Log, _) => FittedWeighting::fit(factorization::Weighting::Log, part),
            (Weighting::None, _) => FittedWeighting::fit(factorization::Weighting::None, part),
        };
        Self { decay, fitted }
    }

    /// Transforms the merged weights of a part, whose positions in the table `keep` selects, to the
    /// weights of the fit.
    pub(crate) fn transform(&self, rows: Interactions, keep: impl Fn(usize) -> bool) -> Interactions {
        let rows = match &self.decay {
            Some(decay) => decay.decayed(&rows, keep),
            None => rows,
        };
        self.fitted.transform(rows)
    }
}

/// The times at these positions.
fn kept(times: &[i64], keep: impl Fn(usize) -> bool) -> impl Iterator<Item = i64> {
    times.iter().enumerate().filter(move |(position, _)| keep(*position)).map(|(_, time)| *time)
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
    fn ages_count_from_the_newest_row_of_the_part() {
        // The last row is newer than the newest row of the part by 200 half-lives of 30 days.
        let all = table(&[1.0, -1.0, 0.0, 1.0], &[0, -30 * DAY, 0, 6000 * DAY]);
        let keep = |position: usize| position < 3;
        let entries =
            |count| (0..count).map(|item| Entry { user: 0, item, value: all.weights[item as usize] }).collect();
        let part = Interactions::from_entries(1, 4, entries(3)).unwrap();
        let transform = |weighting| {
            let weights = SplitWeighting::fit(&weights(30, weighting), &all, &part, keep);
            weights.transform(part.clone(), keep).values().to_vec()
        };
        assert_eq!(transform(Weighting::None), [1.0, -0.5, 0.0]);
        let log = transform(Weighting::Log);
        assert!((log[0], log[2]) == (1.0, 0.0) && (log[1] + 1.5_f32.log2()).abs() < 1e-6, "{log:?}");
        // In the whole table, the others have the weight of 126 half-lives.
        let whole = Interactions::from_entries(1, 4, entries(4)).unwrap();
        let weights = SplitWeighting::fit(&weights(30, Weighting::None), &all, &whole, |_| true);
        let oldest = 2_f32.powi(-126);
        assert_eq!(weights.transform(whole, |_| true).values(), [oldest, -oldest, 0.0, 1.0]);
    }
}

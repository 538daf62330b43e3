//! Transforms interaction weights before a fit: unchanged, by a logarithm, or by BM25.
//!
//! | weighting | w > 0 becomes | reference |
//! |---|---|---|
//! | `Log` | log₂(1 + w) | Hu, Koren and Volinsky 2008, equation 6: α ln(1 + r/ε) with ε = 1 and α = 1/ln 2, so that 1 stays 1; their constant 1 is the objective's α₀ |
//! | `Bm25` | w (K + 1) / (K (1 − B + B ℓ/ℓ̄) + w) · ln(N / (1 + n)) | Robertson and Walker 1994 ("Some simple effective approximations to the 2-Poisson model", SIGIR), with items as documents and users as terms, K = 100 and B = 0.8: the package `implicit` |
//!
//! ℓ is the sum of an item's weights, ℓ̄ its mean over the N items, and n the number of items that
//! the user interacted with. A dislike keeps its sign and is transformed by its magnitude; a bare 0
//! stays 0.

use crate::interactions::Interactions;

/// K of BM25: saturation; a larger K saturates later.
const SATURATION: f64 = 100.0;
/// B of BM25: how strongly items whose total weight is high are down-weighted.
const LENGTH_NORMALIZATION: f64 = 0.8;
/// Minimum of the last factor of BM25. It keeps the weights of a user who interacted with nearly
/// all items near 0 but does not flip their sign.
const RARITY_MIN: f64 = 1e-3;

/// How interaction weights are transformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weighting {
    /// Unchanged.
    #[default]
    None,
    /// Logarithm.
    Log,
    /// BM25.
    Bm25,
}

/// A weighting with the statistics it needs. They come from the training set alone, so the held-out
/// set does not affect them.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedWeighting(Statistics);

#[derive(Clone, Debug, PartialEq)]
enum Statistics {
    None(Weighting),
    /// 1 − B + B ℓ/ℓ̄ of each item.
    Lengths(Vec<f64>),
}

impl FittedWeighting {
    /// Computes the statistics of the training set.
    pub fn fit(weighting: Weighting, training: &Interactions) -> Self {
        Self(match weighting {
            Weighting::None | Weighting::Log => Statistics::None(weighting),
            Weighting::Bm25 => Statistics::Lengths(lengths(training)),
        })
    }

    /// Transforms the weights of users, who may differ from those of the training set.
    #[must_use]
    pub fn transform(&self, rows: Interactions) -> Interactions {
        match &self.0 {
            Statistics::None(Weighting::Log) => rows.change_values(|_, _, w| map_magnitude(w, |w| libm::log2(1.0 + w))),
            Statistics::None(_) => rows,
            Statistics::Lengths(lengths) => rows.change_values(|entries, item, w| {
                let rarity = libm::log(lengths.len() as f64 / (1.0 + entries as f64)).max(RARITY_MIN);
                let length = lengths[item as usize];
                map_magnitude(w, |w| w * (SATURATION + 1.0) / (SATURATION * length + w) * rarity)
            }),
        }
    }
}

fn lengths(training: &Interactions) -> Vec<f64> {
    let mut sums = vec![0.0; training.items()];
    for (item, value) in training.columns().iter().zip(training.values()) {
        sums[*item as usize] += f64::from(value.abs());
    }
    let mean = sums.iter().sum::<f64>() / sums.len() as f64;
    let length = |sum: f64| 1.0 - LENGTH_NORMALIZATION + LENGTH_NORMALIZATION * sum / mean;
    sums.into_iter().map(|sum| if mean > 0.0 { length(sum) } else { 1.0 }).collect()
}

/// Maps the magnitude of a weight. The sign stays, and the result is neither 0, which would be a
/// dislike, nor infinite.
pub fn map_magnitude(weight: f32, change: impl Fn(f64) -> f64) -> f32 {
    if weight == 0.0 {
        return weight;
    }
    let magnitude = change(f64::from(weight.abs())).clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of f32")]
    (magnitude as f32).copysign(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::Entry;

    fn transformed(weighting: Weighting, rows: &[(u32, u32, f32)]) -> Vec<f32> {
        let entries = rows.iter().map(|&(user, item, value)| Entry { user, item, value }).collect();
        let rows = Interactions::from_entries(3, 4, entries).unwrap();
        FittedWeighting::fit(weighting, &rows).transform(rows).values().to_vec()
    }

    #[test]
    fn a_logarithm_preserves_1_and_signs() {
        let rows = [(0, 0, 1.0), (0, 1, 3.0), (0, 2, -7.0), (1, 0, 0.0), (1, 1, f32::MIN_POSITIVE)];
        let log = transformed(Weighting::Log, &rows);
        assert_eq!(log[..4], [1.0, 2.0, -3.0, 0.0]);
        assert!(log[4] > 0.0);
        assert_eq!(transformed(Weighting::None, &rows)[..3], [1.0, 3.0, -7.0]);
    }

    #[test]
    fn bm25_weights_of_a_user_with_all_items_are_near_0_and_keep_their_sign() {
        let all = [(0, 0, 1.0), (0, 1, 1.0), (0, 2, -1.0), (0, 3, 1.0), (1, 0, 1.0)];
        let bm25 = transformed(Weighting::Bm25, &all);
        assert!(bm25[..4].iter().all(|w| w.abs() > 0.0 && w.abs() < 0.01), "{bm25:?}");
        assert!(bm25[0] > 0.0 && bm25[2] < 0.0 && bm25[4] > 0.1, "{bm25:?}");
        assert_eq!(transformed(Weighting::Bm25, &[(0, 0, 0.0)]), [0.0]);
    }

    #[test]
    fn no_magnitude_becomes_0_or_infinite() {
        let weights =
            [map_magnitude(1.0, |w| w * 1e-300), map_magnitude(-1.0, |w| w * 1e300), map_magnitude(0.0, |_| 5.0)];
        assert_eq!(weights.map(f32::to_bits), [f32::MIN_POSITIVE, f32::MIN, 0.0].map(f32::to_bits));
    }
}

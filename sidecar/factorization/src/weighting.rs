//! From what was counted to what it weighs in a fit: as it is, by a logarithm, or by BM25.
//!
//! | weighting | w > 0 becomes | as in |
//! |---|---|---|
//! | `Log` | log₂(1 + w) | Hu, Koren and Volinsky 2008, equation 6: α ln(1 + r/ε) with ε = 1 and α = 1/ln 2, so that 1 stays 1; their constant 1 is the objective's α₀ |
//! | `Bm25` | w (K + 1) / (K (1 − B + B ℓ/ℓ̄) + w) · ln(N / (1 + n)) | Robertson and Walker 1994 ("Some simple effective approximations to the 2-Poisson model", SIGIR), with items as documents and users as terms, K = 100 and B = 0.8: the package `implicit` |
//!
//! ℓ is the sum of an item's weights, ℓ̄ its mean over the N items, and n how many items the user has met. A dislike keeps its
//! sign and is weighed by its size; a bare 0 stays one.

use crate::interactions::Interactions;

/// K of BM25: how late a weight that grows stops to count.
const SATURATION: f64 = 100.0;
/// B of BM25: how much less an item counts that has more weight than others.
const LENGTH_SHARE: f64 = 0.8;
/// A user who has met nearly everything says next to nothing, but never the contrary of what they did.
const RARITY_MIN: f64 = 1e-3;

/// What becomes of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weighting {
    /// They stay.
    #[default]
    None,
    /// By a logarithm.
    Log,
    /// By BM25.
    Bm25,
}

/// A weighting that knows what it must of the data. What is measured on has no part in it: it is made of the training part alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Weigher(Known);

#[derive(Clone, Debug, PartialEq)]
enum Known {
    Nothing(Weighting),
    /// 1 − B + B ℓ/ℓ̄ of each item.
    Lengths(Vec<f64>),
}

impl Weigher {
    /// Of the weights that a fit is to see.
    pub fn of(weighting: Weighting, training: &Interactions) -> Self {
        Self(match weighting {
            Weighting::None | Weighting::Log => Known::Nothing(weighting),
            Weighting::Bm25 => Known::Lengths(lengths(training)),
        })
    }

    /// Weighs rows of users; they may be others than those it was made of.
    #[must_use]
    pub fn weigh(&self, rows: Interactions) -> Interactions {
        match &self.0 {
            Known::Nothing(Weighting::Log) => rows.change_values(|_, _, w| resized(w, |w| libm::log2(1.0 + w))),
            Known::Nothing(_) => rows,
            Known::Lengths(lengths) => rows.change_values(|entries, item, w| {
                let rarity = libm::log(lengths.len() as f64 / (1.0 + entries as f64)).max(RARITY_MIN);
                let length = lengths[item as usize];
                resized(w, |w| w * (SATURATION + 1.0) / (SATURATION * length + w) * rarity)
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
    sums.into_iter().map(|sum| if mean > 0.0 { 1.0 - LENGTH_SHARE + LENGTH_SHARE * sum / mean } else { 1.0 }).collect()
}

/// A weight with its size changed: its sign stays, it never becomes 0 (which would be another thing, a dislike), nor infinite.
pub fn resized(weight: f32, change: impl Fn(f64) -> f64) -> f32 {
    if weight == 0.0 {
        return weight;
    }
    let size = change(f64::from(weight.abs())).clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of f32")]
    (size as f32).copysign(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::Entry;

    fn weighed(weighting: Weighting, rows: &[(u32, u32, f32)]) -> Vec<f32> {
        let entries = rows.iter().map(|&(user, item, value)| Entry { user, item, value }).collect();
        let rows = Interactions::from_entries(3, 4, entries).unwrap();
        Weigher::of(weighting, &rows).weigh(rows).values().to_vec()
    }

    #[test]
    fn a_logarithm_leaves_1_and_signs() {
        let rows = [(0, 0, 1.0), (0, 1, 3.0), (0, 2, -7.0), (1, 0, 0.0), (1, 1, f32::MIN_POSITIVE)];
        let log = weighed(Weighting::Log, &rows);
        assert_eq!(log[..4], [1.0, 2.0, -3.0, 0.0]);
        assert!(log[4] > 0.0);
        assert_eq!(weighed(Weighting::None, &rows)[..3], [1.0, 3.0, -7.0]);
    }

    #[test]
    fn who_has_met_everything_says_little_and_not_the_contrary() {
        let all = [(0, 0, 1.0), (0, 1, 1.0), (0, 2, -1.0), (0, 3, 1.0), (1, 0, 1.0)];
        let bm25 = weighed(Weighting::Bm25, &all);
        assert!(bm25[..4].iter().all(|w| w.abs() > 0.0 && w.abs() < 0.01), "{bm25:?}");
        assert!(bm25[0] > 0.0 && bm25[2] < 0.0 && bm25[4] > 0.1, "{bm25:?}");
        assert_eq!(weighed(Weighting::Bm25, &[(0, 0, 0.0)]), [0.0]);
    }

    #[test]
    fn no_size_becomes_0_or_infinite() {
        let sizes = [resized(1.0, |w| w * 1e-300), resized(-1.0, |w| w * 1e300), resized(0.0, |_| 5.0)];
        assert_eq!(sizes.map(f32::to_bits), [f32::MIN_POSITIVE, f32::MIN, 0.0].map(f32::to_bits));
    }
}

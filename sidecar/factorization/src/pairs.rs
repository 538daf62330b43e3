//! Training pairs of Bayesian personalized ranking: an item that a user likes (positive) and one
//! that they do not (negative).

use crate::{
    lanes::dot,
    random::{below, uniform, word},
};

/// Maximum number of draws for a negative item. If all of them hit likes, the step is skipped; this
/// affects only users who like nearly all items.
const NEGATIVE_ATTEMPTS_MAX: u64 = 32;
/// Random streams of one seed.
const OFFSET_STREAM: u64 = 0;
const SHUFFLE_STREAM: u64 = 1;
const NEGATIVE_STREAM: u64 = 2;

/// Random sample order: one index per weight, shuffled. Each index occurs in proportion to its
/// positive weight, randomly rounded up or down (systematic sampling). With equal weights each
/// occurs once. Empty if no weight is above 0.
pub(crate) fn systematic_sample(weights: &[f32], seed: u64) -> Vec<u32> {
    let total: f64 = weights.iter().map(|weight| f64::from(weight.max(0.0))).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let each = total / weights.len() as f64;
    let mut next = each * uniform(word(seed, OFFSET_STREAM, 0));
    let mut sample: Vec<u32> = Vec::with_capacity(weights.len());
    let mut reached = 0.0;
    for (index, weight) in (0_u32..).zip(weights) {
        reached += f64::from(weight.max(0.0));
        while next < reached && sample.len() < weights.len() {
            sample.push(index);
            next += each;
        }
    }
    for last in (1..sample.len()).rev() {
        sample.swap(last, below(word(seed, SHUFFLE_STREAM, last as u64), last + 1));
    }
    sample
}

/// One of the first `items` items that the user with this row (items ascending) does not like;
/// `None` if no draw finds one.
#[inline(always)]
pub(crate) fn sample_negative(row: (&[u32], &[f32]), items: usize, seed: u64, step: u64) -> Option<usize> {
    let is_like = |position: usize| row.1[position] > 0.0;
    let draw = |attempt| below(word(seed, NEGATIVE_STREAM, step * NEGATIVE_ATTEMPTS_MAX + attempt), items);
    (0..NEGATIVE_ATTEMPTS_MAX)
        .map(draw)
        .find(|&item| !u32::try_from(item).is_ok_and(|item| row.0.binary_search(&item).is_ok_and(is_like)))
}

/// Step size of the stochastic gradient descent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSize {
    /// γ.
    pub(crate) learning_rate: f32,
    /// 1 − γλ.
    pub(crate) decay: f32,
}

/// σ(−x) and −ln σ(x) of x = ⟨u, v − w⟩.
#[inline(always)]
pub(crate) fn bpr_gradient_and_loss(user: &[f32], positive: &[f32], negative: &[f32]) -> (f32, f64) {
    let x = f64::from(dot(user, positive)) - f64::from(dot(user, negative));
    let e = libm::exp(-x.abs());
    let gradient = if x > 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    (gradient as f32, libm::log1p(e) + (-x).max(0.0))
}

/// A gradient step of the user row alone.
#[inline(always)]
pub(crate) fn step_user(user: &mut [f32], positive: &[f32], negative: &[f32], step_size: StepSize) {
    let (gradient, _) = bpr_gradient_and_loss(user, positive, negative);
    let step = step_size.learning_rate * gradient;
    for ((u, v), w) in user.iter_mut().zip(positive).zip(negative) {
        *u = u.mul_add(step_size.decay, step * (v - w));
    }
}

/// A gradient step of all three rows. Returns the loss of the pair before the step.
#[inline(always)]
pub(crate) fn step_all(user: &mut [f32], positive: &mut [f32], negative: &mut [f32], step_size: StepSize) -> f64 {
    let (gradient, loss) = bpr_gradient_and_loss(user, positive, negative);
    let step = step_size.learning_rate * gradient;
    for ((u, v), w) in user.iter_mut().zip(positive).zip(negative) {
        let (old, direction) = (*u, *v - *w);
        *u = old.mul_add(step_size.decay, step * direction);
        *v = v.mul_add(step_size.decay, step * old);
        *w = w.mul_add(step_size.decay, -(step * old));
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_sampled_in_proportion_to_their_weights() {
        let mut seen = [0_u32; 5];
        let weights = [1.0, 1.0, 1.0, 1.0, 1.0];
        for index in systematic_sample(&weights, 3) {
            seen[index as usize] += 1;
        }
        assert_eq!(seen, [1; 5]);
        // Of 6 samples an index with 4/8 of the weight has exactly 3, one with 2/8 has 1 or 2, and
        // a dislike has none.
        let mut sums = [0_u32; 6];
        for seed in 0..4000 {
            let mut seen = [0_u32; 6];
            for index in systematic_sample(&[4.0, 2.0, 1.0, 1.0, -3.0, 0.0], seed) {
                seen[index as usize] += 1;
            }
            assert_eq!((seen[0], seen.iter().sum::<u32>()), (3, 6), "{seen:?}");
            assert!((1..=2).contains(&seen[1]) && seen[4] + seen[5] == 0, "{seen:?}");
            for (sum, seen) in sums.iter_mut().zip(seen) {
                *sum += seen;
            }
        }
        // The expected counts are 1.5 and 0.75; the standard error is below 0.01.
        for (sum, mean) in sums[1..4].iter().zip([1.5, 0.75, 0.75]) {
            assert!((f64::from(*sum) / 4000.0 - mean).abs() < 0.04, "{sums:?}");
        }
        assert!(systematic_sample(&[-1.0, 0.0], 1).is_empty() && systematic_sample(&[], 1).is_empty());
    }

    #[test]
    fn a_negative_is_never_a_like() {
        let row = (&[0_u32, 2, 3][..], &[1.0_f32, -1.0, 1.0][..]);
        let mut drawn: Vec<usize> = (0..200).filter_map(|step| sample_negative(row, 4, 7, step)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [1, 2], "a disliked item may be a negative");
        assert_eq!(sample_negative((&[0, 1], &[1.0, 1.0]), 2, 7, 0), None);
    }

    #[test]
    fn a_step_follows_the_gradient() {
        // Gradient of −ln σ(⟨u, v − w⟩) + λ/2 (‖u‖² + ‖v‖² + ‖w‖²), by central differences in f64.
        let rows = [[0.3_f32, -0.7, 0.2], [0.9, 0.1, -0.4], [-0.2, 0.5, 0.6]];
        let (rate, lambda) = (1e-3_f64, 0.2_f64);
        let value = |rows: &[[f64; 3]; 3]| {
            let x: f64 = (0..3).map(|k| rows[0][k] * (rows[1][k] - rows[2][k])).sum();
            let squares: f64 = rows.iter().flatten().map(|x| x * x).sum();
            (1.0 + (-x).exp()).ln() + lambda / 2.0 * squares
        };
        let exact = rows.map(|row| row.map(f64::from));
        let [mut u, mut v, mut w] = rows;
        let step_size = StepSize { learning_rate: 1e-3, decay: 1.0 - 1e-3 * 0.2 };
        let loss = step_all(&mut u, &mut v, &mut w, step_size);
        let squares: f64 = exact.iter().flatten().map(|x| x * x).sum();
        assert!((loss - (value(&exact) - lambda / 2.0 * squares)).abs() < 1e-6, "{loss}");
        for (row, after) in [u, v, w].iter().enumerate() {
            for k in 0..3 {
                let (mut up, mut down) = (exact, exact);
                up[row][k] += 1e-5;
                down[row][k] -= 1e-5;
                let slope = (value(&up) - value(&down)) / 2e-5;
                let stepped = (f64::from(after[k]) - exact[row][k]) / -rate;
                assert!((stepped - slope).abs() < 1e-3, "row {row}, factor {k}: expected {slope}, got {stepped}");
            }
        }
    }
}

//! What Bayesian personalized ranking learns from: somebody's like beside an item that they did not choose.

use crate::{
    lanes::dot,
    random::{below, uniform, word},
};

/// Most draws of an item that somebody did not choose. Who chose nearly all items is left out where these do not do.
const OTHER_TRIES: u64 = 32;
/// Streams of one seed.
const OFFSET_STREAM: u64 = 0;
const SHUFFLE_STREAM: u64 = 1;
const OTHER_STREAM: u64 = 2;

/// As many indexes as there are weights, in random order: each as often as its share of the weights above 0 says, rounded up or down by
/// chance (systematic sampling). With equal weights each comes once. None where no weight is above 0.
pub(crate) fn turns(weights: &[f32], seed: u64) -> Vec<u32> {
    let total: f64 = weights.iter().map(|weight| f64::from(weight.max(0.0))).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let each = total / weights.len() as f64;
    let mut next = each * uniform(word(seed, OFFSET_STREAM, 0));
    let mut turns: Vec<u32> = Vec::with_capacity(weights.len());
    let mut reached = 0.0;
    for (index, weight) in (0_u32..).zip(weights) {
        reached += f64::from(weight.max(0.0));
        while next < reached && turns.len() < weights.len() {
            turns.push(index);
            next += each;
        }
    }
    for place in (1..turns.len()).rev() {
        turns.swap(place, below(word(seed, SHUFFLE_STREAM, place as u64), place + 1));
    }
    turns
}

/// An item of the first `items` that somebody with this row (items ascending) does not like; `None` where there is hardly any.
#[inline(always)]
pub(crate) fn other_item(row: (&[u32], &[f32]), items: usize, seed: u64, turn: u64) -> Option<usize> {
    let liked = |place: usize| row.1[place] > 0.0;
    let draw = |attempt| below(word(seed, OTHER_STREAM, turn * OTHER_TRIES + attempt), items);
    (0..OTHER_TRIES)
        .map(draw)
        .find(|&item| !u32::try_from(item).is_ok_and(|item| row.0.binary_search(&item).is_ok_and(liked)))
}

/// How far a step goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// γ.
    pub(crate) rate: f32,
    /// 1 − γλ.
    pub(crate) keep: f32,
}

/// σ(−x) and −ln σ(x) of x = ⟨u, v − w⟩.
#[inline(always)]
pub(crate) fn surprise(user: &[f32], liked: &[f32], other: &[f32]) -> (f32, f64) {
    let x = f64::from(dot(user, liked)) - f64::from(dot(user, other));
    let e = libm::exp(-x.abs());
    let chance = if x > 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
    #[expect(clippy::cast_possible_truncation, reason = "factors are stored in f32")]
    (chance as f32, libm::log1p(e) + (-x).max(0.0))
}

/// A step of the user alone.
#[inline(always)]
pub(crate) fn step_user(user: &mut [f32], liked: &[f32], other: &[f32], pace: Pace) {
    let (chance, _) = surprise(user, liked, other);
    let step = pace.rate * chance;
    for ((u, v), w) in user.iter_mut().zip(liked).zip(other) {
        *u = u.mul_add(pace.keep, step * (v - w));
    }
}

/// A step of all three; gives what the pair came to before.
#[inline(always)]
pub(crate) fn step_all(user: &mut [f32], liked: &mut [f32], other: &mut [f32], pace: Pace) -> f64 {
    let (chance, loss) = surprise(user, liked, other);
    let step = pace.rate * chance;
    for ((u, v), w) in user.iter_mut().zip(liked).zip(other) {
        let (was, toward) = (*u, *v - *w);
        *u = was.mul_add(pace.keep, step * toward);
        *v = v.mul_add(pace.keep, step * was);
        *w = w.mul_add(pace.keep, -(step * was));
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_the_turns_of_their_weight() {
        let mut seen = [0_u32; 5];
        let weights = [1.0, 1.0, 1.0, 1.0, 1.0];
        for index in turns(&weights, 3) {
            seen[index as usize] += 1;
        }
        assert_eq!(seen, [1; 5]);
        // Of 6 turns a share of 4 in 8 has exactly 3, one of 2 in 8 has 1 or 2, and a dislike none.
        let mut sums = [0_u32; 6];
        for seed in 0..4000 {
            let mut seen = [0_u32; 6];
            for index in turns(&[4.0, 2.0, 1.0, 1.0, -3.0, 0.0], seed) {
                seen[index as usize] += 1;
            }
            assert_eq!((seen[0], seen.iter().sum::<u32>()), (3, 6), "{seen:?}");
            assert!((1..=2).contains(&seen[1]) && seen[4] + seen[5] == 0, "{seen:?}");
            for (sum, seen) in sums.iter_mut().zip(seen) {
                *sum += seen;
            }
        }
        // 1.5 and 0.75 of a turn in the mean; a standard error is below 0.01.
        for (sum, mean) in sums[1..4].iter().zip([1.5, 0.75, 0.75]) {
            assert!((f64::from(*sum) / 4000.0 - mean).abs() < 0.04, "{sums:?}");
        }
        assert!(turns(&[-1.0, 0.0], 1).is_empty() && turns(&[], 1).is_empty());
    }

    #[test]
    fn the_other_item_is_never_a_like() {
        let row = (&[0_u32, 2, 3][..], &[1.0_f32, -1.0, 1.0][..]);
        let mut drawn: Vec<usize> = (0..200).filter_map(|turn| other_item(row, 4, 7, turn)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [1, 2], "what is disliked may be one");
        assert_eq!(other_item((&[0, 1], &[1.0, 1.0]), 2, 7, 0), None);
    }

    #[test]
    fn a_step_follows_the_gradient() {
        // Of −ln σ(⟨u, v − w⟩) + λ/2 (‖u‖² + ‖v‖² + ‖w‖²), by central differences in f64.
        let rows = [[0.3_f32, -0.7, 0.2], [0.9, 0.1, -0.4], [-0.2, 0.5, 0.6]];
        let (rate, lambda) = (1e-3_f64, 0.2_f64);
        let value = |rows: &[[f64; 3]; 3]| {
            let x: f64 = (0..3).map(|k| rows[0][k] * (rows[1][k] - rows[2][k])).sum();
            let squares: f64 = rows.iter().flatten().map(|x| x * x).sum();
            (1.0 + (-x).exp()).ln() + lambda / 2.0 * squares
        };
        let wide = rows.map(|row| row.map(f64::from));
        let [mut u, mut v, mut w] = rows;
        let pace = Pace { rate: 1e-3, keep: 1.0 - 1e-3 * 0.2 };
        let loss = step_all(&mut u, &mut v, &mut w, pace);
        let squares: f64 = wide.iter().flatten().map(|x| x * x).sum();
        assert!((loss - (value(&wide) - lambda / 2.0 * squares)).abs() < 1e-6, "{loss}");
        for (row, after) in [u, v, w].iter().enumerate() {
            for k in 0..3 {
                let (mut up, mut down) = (wide, wide);
                up[row][k] += 1e-5;
                down[row][k] -= 1e-5;
                let slope = (value(&up) - value(&down)) / 2e-5;
                let stepped = (f64::from(after[k]) - wide[row][k]) / -rate;
                assert!((stepped - slope).abs() < 1e-3, "row {row}, factor {k}: {stepped}, not {slope}");
            }
        }
    }
}

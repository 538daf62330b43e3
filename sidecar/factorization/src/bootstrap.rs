//! How sure a lift is: a paired bootstrap over users (Efron and Tibshirani 1993, chapter 13: percentile interval).

use crate::random::{below, word};

/// Relative lift of the model over the baseline, with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// mean(model) / mean(baseline) − 1.
    pub estimate: f64,
    /// 2.5 % quantile of the resamples.
    pub low: f64,
    /// 97.5 % quantile of the resamples.
    pub high: f64,
}

/// Stream of random words that resampling uses.
const STREAM: u64 = 0x626f_6f74_7374_7261;

/// Draws users with replacement `resamples` times. `None` if lengths differ, there is nobody, or the baseline's mean is 0
/// (then no lift is defined).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quantile of a length")]
pub fn bootstrap_lift(model: &[f64], baseline: &[f64], seed: u64, resamples: usize) -> Option<Lift> {
    let n = model.len();
    if n == 0 || n != baseline.len() || resamples == 0 {
        return None;
    }
    let ratio = |model: f64, baseline: f64| (baseline > 0.0).then(|| model / baseline - 1.0);
    let estimate = ratio(model.iter().sum(), baseline.iter().sum())?;
    let mut lifts: Vec<f64> = (0..resamples)
        .filter_map(|resample| {
            let (mut m, mut b) = (0.0, 0.0);
            for draw in 0..n {
                let user = below(word(seed, STREAM, (resample * n + draw) as u64), n);
                m += model[user];
                b += baseline[user];
            }
            ratio(m, b)
        })
        .collect();
    lifts.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| lifts.get(((lifts.len() as f64 - 1.0) * q).round() as usize).copied();
    Some(Lift { estimate, low: quantile(0.025)?, high: quantile(0.975)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_factor_has_no_spread() {
        let baseline: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
        let model: Vec<f64> = baseline.iter().map(|b| 1.5 * b).collect();
        let lift = bootstrap_lift(&model, &baseline, 1, 200).unwrap();
        assert!(
            (lift.estimate - 0.5).abs() < 1e-12 && (lift.low - 0.5).abs() < 1e-12 && (lift.high - 0.5).abs() < 1e-12
        );
    }

    #[test]
    fn the_interval_has_the_normal_approximations_width() {
        // Baseline 1 for all, model 0 or 2 by turns: the mean's standard error is 1/√n, so the interval is ± 1.96/√n.
        let n = 10_000;
        let model: Vec<f64> = (0..n).map(|i| f64::from(i % 2) * 2.0).collect();
        let lift = bootstrap_lift(&model, &vec![1.0; model.len()], 7, 1000).unwrap();
        assert!(lift.estimate.abs() < 1e-12);
        assert!((lift.high - 0.0196).abs() < 0.002 && (lift.low + 0.0196).abs() < 0.002, "{lift:?}");
    }

    #[test]
    fn no_lift_over_nothing() {
        assert_eq!(bootstrap_lift(&[1.0], &[0.0], 1, 10), None);
        assert_eq!(bootstrap_lift(&[], &[], 1, 10), None);
        assert_eq!(bootstrap_lift(&[1.0], &[1.0, 2.0], 1, 10), None);
    }
}

//! Confidence interval of a lift: a paired bootstrap over users (Efron and Tibshirani 1993, chapter
//! 13: percentile interval).

use crate::random::{below, word};

/// Relative improvement of the model over the baseline, with a 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// mean(model) / mean(baseline) − 1; for errors 1 − rmse(model) / rmse(baseline). From
    /// −[`LIFT_MAX`] to [`LIFT_MAX`].
    pub estimate: f64,
    /// 2.5 % quantile of the resamples.
    pub low: f64,
    /// 97.5 % quantile of the resamples.
    pub high: f64,
}

/// Largest magnitude of a resample's lift. A resample whose baseline is 0 has no finite lift; it
/// counts as this bound, because leaving it out would bias the interval.
pub const LIFT_MAX: f64 = 1000.0;
/// Random stream of the resamples.
const STREAM: u64 = 0x626f_6f74_7374_7261;

/// The lift of mean scores per user; higher scores are better. Draws users with replacement
/// `resamples` times; every resample counts. `None` if lengths differ, there are no users, or the
/// baseline's mean is 0 (the lift is then undefined).
pub fn bootstrap_lift(model: &[f64], baseline: &[f64], seed: u64, resamples: usize) -> Option<Lift> {
    bootstrap(model, baseline, seed, resamples, |model, baseline| model / baseline - 1.0)
}

/// The relative reduction of the root mean squared error, from each user's sum of squared errors;
/// both slices are sums over the same ratings. Resampling and `None` are as in [`bootstrap_lift`].
pub fn bootstrap_reduction(model: &[f64], baseline: &[f64], seed: u64, resamples: usize) -> Option<Lift> {
    bootstrap(model, baseline, seed, resamples, |model, baseline| 1.0 - (model / baseline).sqrt())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quantile of a length")]
fn bootstrap(
    model: &[f64],
    baseline: &[f64],
    seed: u64,
    resamples: usize,
    lift: impl Fn(f64, f64) -> f64,
) -> Option<Lift> {
    let n = model.len();
    let (model_sum, baseline_sum) = (model.iter().sum(), baseline.iter().sum::<f64>());
    if n == 0 || n != baseline.len() || resamples == 0 || baseline_sum <= 0.0 {
        return None;
    }
    let bounded = |model: f64, baseline: f64| {
        let both_are_zero = model <= 0.0 && baseline <= 0.0;
        if both_are_zero { 0.0 } else { lift(model, baseline).clamp(-LIFT_MAX, LIFT_MAX) }
    };
    let mut lifts: Vec<f64> = (0..resamples)
        .map(|resample| {
            let (mut m, mut b) = (0.0, 0.0);
            for draw in 0..n {
                let user = below(word(seed, STREAM, (resample * n + draw) as u64), n);
                m += model[user];
                b += baseline[user];
            }
            bounded(m, b)
        })
        .collect();
    lifts.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| lifts.get(((lifts.len() as f64 - 1.0) * q).round() as usize).copied();
    Some(Lift { estimate: bounded(model_sum, baseline_sum), low: quantile(0.025)?, high: quantile(0.975)? })
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
    fn the_interval_has_the_width_of_the_normal_approximation() {
        // The baseline is 1 for all, the model alternates between 0 and 2. The standard error of
        // the mean is 1/√n, so the interval is ± 1.96/√n.
        let n = 10_000;
        let model: Vec<f64> = (0..n).map(|i| f64::from(i % 2) * 2.0).collect();
        let lift = bootstrap_lift(&model, &vec![1.0; model.len()], 7, 1000).unwrap();
        assert!(lift.estimate.abs() < 1e-12);
        assert!((lift.high - 0.0196).abs() < 0.002 && (lift.low + 0.0196).abs() < 0.002, "{lift:?}");
    }

    #[test]
    fn the_lift_is_undefined_without_a_baseline() {
        assert_eq!(bootstrap_lift(&[1.0], &[0.0], 1, 10), None);
        assert_eq!(bootstrap_lift(&[], &[], 1, 10), None);
        assert_eq!(bootstrap_lift(&[1.0], &[1.0, 2.0], 1, 10), None);
    }

    #[test]
    fn resamples_without_a_hit_of_the_baseline_count() {
        // One user in 50 has a hit of the baseline: (49/50)^50 = 36 % of the resamples have none,
        // so the upper quantile is the bound. A model that is 0 in them is equal to the baseline.
        let mut baseline = vec![0.0; 50];
        baseline[0] = 1.0;
        let lift = bootstrap_lift(&[1.0; 50], &baseline, 3, 1000).unwrap();
        let is = |x: f64, expected: f64| (x - expected).abs() < 1e-12;
        assert!(is(lift.estimate, 49.0) && is(lift.high, LIFT_MAX), "{lift:?}");
        let worse: Vec<f64> = baseline.iter().map(|hit| 0.5 * hit).collect();
        let lift = bootstrap_lift(&worse, &baseline, 3, 1000).unwrap();
        assert!(is(lift.estimate, -0.5) && is(lift.low, -0.5) && is(lift.high, 0.0), "{lift:?}");
        // The same for errors: a baseline without an error cannot be improved.
        let lift = bootstrap_reduction(&[1.0; 50], &baseline, 3, 1000).unwrap();
        assert!(is(lift.low, -LIFT_MAX), "{lift:?}");
    }

    #[test]
    fn a_reduction_is_computed_from_roots_and_has_its_own_spread() {
        // Errors are a quarter of the baseline's, so squares are a sixteenth.
        let baseline: Vec<f64> = (1..100).map(f64::from).collect();
        let model: Vec<f64> = baseline.iter().map(|b| b / 16.0).collect();
        let lift = bootstrap_reduction(&model, &baseline, 1, 200).unwrap();
        assert!([lift.estimate, lift.low, lift.high].iter().all(|x| (x - 0.75).abs() < 1e-12), "{lift:?}");
        // Errors of half of the users are twice as large, the others' are 0: mean squares are 2 and
        // 1.
        let model: Vec<f64> = (0..1000).map(|user| if user % 2 == 0 { 4.0 } else { 0.0 }).collect();
        let lift = bootstrap_reduction(&model, &vec![1.0; 1000], 1, 1000).unwrap();
        let expected = 1.0 - 2.0_f64.sqrt();
        // By the delta method: Δ√x = Δx / (2√x), with a mean of 2 and a standard error of 2/√1000.
        let half_width = 1.96 * 2.0 / 1000_f64.sqrt() / (2.0 * 2.0_f64.sqrt());
        assert!((lift.estimate - expected).abs() < 1e-12);
        assert!((lift.high - expected - half_width).abs() < 0.2 * half_width, "{lift:?} {half_width}");
        assert!((expected - lift.low - half_width).abs() < 0.2 * half_width, "{lift:?} {half_width}");
        assert_eq!(bootstrap_reduction(&[1.0], &[0.0], 1, 10), None);
    }
}

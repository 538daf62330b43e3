//! Settings that depend on the size of the data: algorithm, factors, split, memory.

use anyhow::Result;
use recommender_trainer::{Profile, SnapshotSize, memory_forecast};
use sidecar_contract::{
    Algorithm, AlsConfig, AutoConfig, Signal, SplitKind, TrainingConfig, serving_memory::pod_bytes,
};

/// Minimum and maximum of the suggested factors.
const FACTORS: (u64, u64) = (4, 64);
/// Number of users or items, whichever are fewer, per factor: with fewer the factors fit noise.
const ENTITIES_PER_FACTOR: u64 = 8;
/// Test users that the quality gate needs: with fewer there is no lift, and the gate cannot decide.
pub const TEST_USERS_MIN: u64 = 20;
/// Test users that are enough for a time split, however many a random split has.
const TEST_USERS_ENOUGH: u64 = 100;
/// Minimum number of pairs for a search: with fewer it chooses by chance.
const SEARCH_PAIRS_MIN: u64 = 2000;
/// Assumed number of CPUs of the node; the trainer allocates scratch memory per CPU.
pub const ASSUMED_CPUS: u64 = 16;
/// Models up to this size fit the default memory request of serving pods, which is the next one.
const SMALL_MODEL_BYTES: u64 = 24 << 20;
const SERVING_REQUEST_BYTES: u64 = 64 << 20;
/// Half of the expected 95 % interval of the lift, times the square root of the number of test
/// users. Measured for ndcg on parts of the visits of tests/data (61 to 844 test users: 1.5 to
/// 1.8), for rmse on simulated ratings (103 to 1,736 test users: 0.5 to 0.64).
const HALF_INTERVAL_OF_ONE: (f64, f64) = (1.8, 0.6);
/// Half intervals up to this are narrow enough for the default gate, which is 0.
const HALF_INTERVAL_NARROW: f64 = 0.02;
/// Largest suggested tolerance of the gate: below it the gate would accept any model.
const GATE_TOLERANCE_MAX: f64 = 0.5;
/// Minimum memory request of a run, which is the default, and minimum limit.
const TRAINING_BYTES_MIN: (u64, u64) = (128 << 20, 256 << 20);
const MEBIBYTE: u64 = 1 << 20;

/// The chosen settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// Memory request and memory limit of a run, in bytes.
    pub training: (u64, u64),
    /// Size of the model, in bytes.
    pub model_bytes: u64,
    /// Memory request and memory limit of a serving pod, in bytes.
    pub serving: (u64, u64),
    /// Half of the 95 % interval of the lift that is expected with that many test users; `None` if
    /// the gate does not apply.
    pub half_interval: Option<f64>,
    /// The split, with the reason, if it differs from the default.
    pub split: Option<(SplitKind, String)>,
    /// Number of test users with the split.
    pub test_users: u64,
}

/// Completes the config, and estimates memory. If the profile covers a part of the data, sizes are
/// scaled up to all of it.
///
/// # Errors
/// Never for the parameters that are chosen here.
pub fn choose(config: &mut TrainingConfig, profile: &Profile) -> Result<Sizes> {
    let (split, test_users) = split(profile);
    config.evaluation.split = split.as_ref().map(|(kind, _)| *kind);
    let factors = factors(profile.users(), profile.items());
    let searched = profile.pairs() >= SEARCH_PAIRS_MIN && test_users >= TEST_USERS_MIN;
    config.algorithm = if searched {
        Algorithm::Auto(AutoConfig { factors_max: factors, ..AutoConfig::default() })
    } else {
        Algorithm::Als(AlsConfig { factors, ..AlsConfig::defaults_for(config.signal) })
    };
    let scale = |bytes: u64| scaled(bytes, profile.fraction_read);
    let forecast = scale(memory_forecast(config, profile, ASSUMED_CPUS)?);
    let size = SnapshotSize {
        users: profile.users(),
        items: profile.items(),
        pairs: profile.pairs(),
        id_bytes: profile.id_bytes,
        // Repeated rows of a pair are merged into a weight.
        is_weighted: config.columns.rating.is_some() || profile.rows.kept > profile.pairs(),
        has_biases: config.signal == Signal::Explicit,
    };
    // Every algorithm that may be chosen for weights has a two-hop term, or is smaller.
    let model_bytes = scale(size.bytes(u64::from(factors), config.signal == Signal::Implicit));
    Ok(Sizes {
        // The limit adds a quarter for memory that the forecast does not cover.
        training: (
            rounded(forecast).max(TRAINING_BYTES_MIN.0),
            rounded(forecast + forecast / 4).max(TRAINING_BYTES_MIN.1),
        ),
        model_bytes,
        serving: serving(model_bytes),
        half_interval: half_interval(config.signal, test_users),
        split,
        test_users,
    })
}

/// Memory request and memory limit of a pod with a model of this size. A small model fits the
/// default request.
fn serving(model_bytes: u64) -> (u64, u64) {
    let limit = rounded(pod_bytes(model_bytes));
    if model_bytes > SMALL_MODEL_BYTES { (limit, limit) } else { (SERVING_REQUEST_BYTES, limit) }
}

fn half_interval(signal: Signal, test_users: u64) -> Option<f64> {
    let (ndcg, rmse) = HALF_INTERVAL_OF_ONE;
    let of_one = if signal == Signal::Explicit { rmse } else { ndcg };
    (test_users >= TEST_USERS_MIN).then(|| of_one / (test_users as f64).sqrt())
}

impl Sizes {
    /// Minimum lift that a model as good as the baseline reaches with this number of test users, in
    /// whole percent; `None` if the default gate fits.
    pub fn gate(&self) -> Option<f64> {
        let half_interval = self.half_interval.filter(|half| *half > HALF_INTERVAL_NARROW)?;
        Some(-((100.0 * half_interval).ceil() / 100.0).min(GATE_TOLERANCE_MAX))
    }
}

/// Extrapolates a size from a part of the data to all of it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size divided by a fraction")]
pub fn scaled(part: u64, fraction: f64) -> u64 {
    if fraction >= 1.0 { part } else { (part as f64 / fraction) as u64 }
}

/// A power of two that grows with the number of users or items, whichever are fewer.
fn factors(users: u64, items: u64) -> u32 {
    let fitting = (users.min(items) / ENTITIES_PER_FACTOR).clamp(FACTORS.0, FACTORS.1);
    1 << fitting.ilog2()
}

/// The split and its number of test users: random if a time split has too few test users.
fn split(profile: &Profile) -> (Option<(SplitKind, String)>, u64) {
    let at_random = profile.measurable_at_random;
    let Some(by_time) = profile.measurable_by_time else { return (None, at_random) };
    if by_time >= TEST_USERS_ENOUGH || (by_time > 0 && 2 * by_time >= at_random) {
        return (None, by_time);
    }
    let reason = match profile.times {
        Some((oldest, newest)) if oldest == newest => {
            "all timestamps are equal, so there are no newest rows".to_owned()
        }
        _ => format!(
            "a time split has only {by_time} test users, because the other users have rows on one side of the cut only; a random \
             split has {at_random}"
        ),
    };
    (Some((SplitKind::Random, reason)), at_random)
}

/// Rounds up to the next step of about a tenth, in whole mebibytes.
fn rounded(bytes: u64) -> u64 {
    let mebibytes = bytes.div_ceil(MEBIBYTE).max(64);
    let step = (1 << mebibytes.ilog2()) / 8;
    mebibytes.next_multiple_of(step) * MEBIBYTE
}

/// `384Mi`, `3Gi`.
pub fn quantity(bytes: u64) -> String {
    let mebibytes = bytes / MEBIBYTE;
    if mebibytes.is_multiple_of(1024) { format!("{}Gi", mebibytes / 1024) } else { format!("{mebibytes}Mi") }
}

/// `12 MiB`, for human-readable text.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", super::grouped(bytes.div_ceil(MEBIBYTE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_get_few_factors_and_large_ones_the_default() {
        for (users, items, expected) in
            [(50, 15, 4), (32_711, 285, 32), (943, 1682, 64), (1_000_000, 500_000, 64), (1, 1, 4)]
        {
            assert_eq!(factors(users, items), expected, "{users} × {items}");
        }
    }

    #[test]
    fn a_gate_fits_the_number_of_test_users() {
        let gate = |signal, test_users| {
            let half_interval = half_interval(signal, test_users);
            let sizes =
                Sizes { training: (0, 0), model_bytes: 0, serving: (0, 0), half_interval, split: None, test_users };
            sizes.gate()
        };
        // In percent, rounded up: 180 / 11 = 16.4, 180 / 31 = 5.8, 60 / 11 = 5.5, 60 / 40 = 1.5.
        assert_eq!(gate(Signal::Implicit, 121), Some(-0.17));
        assert_eq!(gate(Signal::Implicit, 961), Some(-0.06));
        assert_eq!(gate(Signal::Explicit, 121), Some(-0.06));
        assert_eq!(gate(Signal::Explicit, 1600), None);
        assert_eq!(gate(Signal::Implicit, 19), None, "the gate does not apply");
    }

    #[test]
    fn memory_is_rounded_up_in_steps() {
        let check = |mebibytes: u64| quantity(rounded(mebibytes * MEBIBYTE));
        assert_eq!(
            [3, 64, 65, 300, 1000, 1500, 9000].map(check),
            ["64Mi", "64Mi", "72Mi", "320Mi", "1Gi", "1536Mi", "9Gi"]
        );
        assert_eq!(scaled(100, 0.25), 400);
    }
}

//! What is chosen by the size of the data: factors, split, tuning, memory.

use anyhow::Result;
use recommender_trainer::{Profile, memory_forecast};
use sidecar_contract::{Algorithm, AlsConfig, Signal, SplitKind, TrainingConfig, TuningConfig};

use crate::limits::HEADROOM_RESERVE_BYTES;

/// Fewest and most factors that are suggested.
const FACTORS: (u64, u64) = (4, 64);
/// So many rows of the smaller side for each factor: fewer would fit noise.
const ROWS_PER_FACTOR: u64 = 8;
/// Measured users below which there is no lift, and the gate cannot decide.
pub const MEASURED_USERS_MIN: u64 = 20;
/// Measured users that are enough for a split by time, however many a random one has.
const MEASURED_USERS_GOOD: u64 = 100;
/// Below so many pairs a search for parameters would choose by luck.
const TUNED_PAIRS_MIN: u64 = 2000;
/// Processors of a node that nobody has named; each takes its scratch.
pub const THREADS_ASSUMED: u64 = 16;
/// Of the serving process beside the model and what stays free.
const SERVING_BYTES: u64 = 32 << 20;
/// Models up to this size fit what serving pods request anyway.
const SMALL_MODEL_BYTES: u64 = 24 << 20;
/// Least request, which is the default, and least limit of a run.
const TRAINING_BYTES_MIN: (u64, u64) = (128 << 20, 256 << 20);
/// What a snapshot says of itself.
const HEAD_BYTES: u64 = 4096;
const MEBIBYTE: u64 = 1 << 20;

/// What was chosen, with why.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// Least memory of a run, and the limit to set, in bytes.
    pub training: (u64, u64),
    /// The model's size, in bytes.
    pub model_bytes: u64,
    /// Memory to set for a serving pod, in bytes; `None` where the default does.
    pub serving: Option<u64>,
    /// The split to write, if the default is not it, and why.
    pub split: Option<(SplitKind, String)>,
    /// Users that can be measured with the split.
    pub measured_users: u64,
}

/// Completes the config, and says what memory to ask for. Sizes of a part of the data are scaled up to all of it.
///
/// # Errors
/// Never for parameters that are chosen here.
pub fn choose(config: &mut TrainingConfig, profile: &Profile) -> Result<Sizes> {
    let (split, measured_users) = split(profile);
    config.evaluation.split = split.as_ref().map(|(kind, _)| *kind);
    let factors = factors(profile.users(), profile.items());
    let tuned = profile.pairs() >= TUNED_PAIRS_MIN && measured_users >= MEASURED_USERS_MIN;
    config.tuning = tuned.then(TuningConfig::default);
    config.algorithm = Algorithm::Als(AlsConfig { factors, ..AlsConfig::usual(config.signal) });
    let scale = |bytes: u64| scaled(bytes, profile.share);
    let forecast = scale(memory_forecast(config, profile, THREADS_ASSUMED)?);
    let model_bytes = scale(model_bytes(profile, u64::from(factors), config));
    Ok(Sizes {
        // A quarter more than the forecast, for what it does not count.
        training: (
            rounded(forecast).max(TRAINING_BYTES_MIN.0),
            rounded(forecast + forecast / 4).max(TRAINING_BYTES_MIN.1),
        ),
        model_bytes,
        serving: (model_bytes > SMALL_MODEL_BYTES)
            .then(|| rounded(model_bytes + model_bytes / 4 + SERVING_BYTES + HEADROOM_RESERVE_BYTES)),
        split,
        measured_users,
    })
}

/// What a part of the data says of all of it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size divided by a share of it")]
pub fn scaled(part: u64, share: f64) -> u64 {
    if share >= 1.0 { part } else { (part as f64 / share) as u64 }
}

/// A power of two, by the smaller side of the table.
fn factors(users: u64, items: u64) -> u32 {
    let fitting = (users.min(items) / ROWS_PER_FACTOR).clamp(FACTORS.0, FACTORS.1);
    1 << fitting.ilog2()
}

/// Random, where a split by time leaves too few users to measure on.
fn split(profile: &Profile) -> (Option<(SplitKind, String)>, u64) {
    let at_random = profile.measurable_at_random;
    let Some(by_time) = profile.measurable_by_time else { return (None, at_random) };
    if by_time >= MEASURED_USERS_GOOD || (by_time > 0 && 2 * by_time >= at_random) {
        return (None, by_time);
    }
    let why = match profile.times {
        Some((oldest, newest)) if oldest == newest => "all times are equal: there is no newest part".to_owned(),
        _ => format!(
            "by time only {by_time} users have rows before and after the cut, at random {at_random}: others came or left as a \
             whole"
        ),
    };
    (Some((SplitKind::Random, why)), at_random)
}

/// What a snapshot holds: factors, ids with where they start and their order, what was met, biases, popularity.
fn model_bytes(profile: &Profile, factors: u64, config: &TrainingConfig) -> u64 {
    let (users, items, pairs) = (profile.users(), profile.items(), profile.pairs());
    let rows = users + items;
    let weights = if config.columns.rating.is_some() { 4 * pairs } else { 0 };
    let biases = if config.signal == Signal::Explicit { 4 * rows } else { 0 };
    HEAD_BYTES
        + rows * (4 * factors + 12)
        + 8 * factors * factors
        + profile.id_bytes
        + 8 * users
        + 8 * items
        + 4 * pairs
        + weights
        + biases
}

/// The next step of about a tenth, in whole mebibytes.
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

/// `12 MiB`, for people.
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
    fn memory_is_rounded_up_to_what_people_write() {
        let check = |mebibytes: u64| quantity(rounded(mebibytes * MEBIBYTE));
        assert_eq!(
            [3, 64, 65, 300, 1000, 1500, 9000].map(check),
            ["64Mi", "64Mi", "72Mi", "320Mi", "1Gi", "1536Mi", "9Gi"]
        );
        assert_eq!(scaled(100, 0.25), 400);
    }
}

//! Forecast of the fit's memory, compared with the container's limit before hours of computation.

use factorization::{AttributeMap, AttributeSize, FitSize, ValidParams};
use sidecar_contract::{
    Algorithm, AutoConfig, Signal, TrainingConfig, Weighting, WeightsConfig, serving_memory::pod_bytes,
};

use crate::{
    data::Data,
    failure::{FailureReason, RunError},
    item_features::ItemFeatures,
    memory_limit::MemoryLimit,
    profile::Profile,
    snapshot_size::SnapshotSize,
};

const MEBIBYTE: u64 = 1 << 20;
/// Number of threads for which a search forecasts memory, so that its choice does not depend on the
/// node.
const THREADS_ASSUMED: u64 = 16;

/// Bytes of a row: as read (with a time), plus as sorted.
const ROW_BYTES: u64 = 20 + 16;
/// Bytes of a merged pair.
const PAIR_BYTES: u64 = 16;
/// Overhead in bytes of an id besides its text: in the interner's table or its sorted order, and in
/// both arenas. With [`ID_COPIES`] it is above the measured peak: 42 bytes for each of 700,000 ids
/// with 6.5 bytes of text.
const ID_BYTES: u64 = 40;
/// Copies of the text of ids: the interner's arena, which grows by doubling, and the sorted one.
const ID_COPIES: u64 = 3;
/// Bytes of the idle process.
const PROCESS_BYTES: u64 = 32 * MEBIBYTE;

/// Peak memory of a run in bytes, for data with this profile.
pub fn forecast(config: &TrainingConfig, data: &Profile, threads: u64) -> Result<u64, RunError> {
    let (users, items, pairs) = (data.users(), data.items(), data.pairs());
    let ids = (users + items) * ID_BYTES + ID_COPIES * data.id_bytes;
    let reading = data.rows.kept * ROW_BYTES + pairs * PAIR_BYTES;
    let fitting = pairs * PAIR_BYTES + fit_forecast(config, &FitSize { users, items, entries: pairs, threads })?;
    Ok(PROCESS_BYTES + ids + reading.max(fitting))
}

/// What is short for a fit or for serving its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it needs about {} MiB of memory {purpose} and the limit is {} MiB: raise {field}",
    needed.div_ceil(MEBIBYTE),
    limit / MEBIBYTE
)]
pub(super) struct Shortage {
    needed: u64,
    limit: u64,
    purpose: &'static str,
    field: &'static str,
}

/// What the candidates of a search must not exceed.
pub(super) struct MemoryBudget {
    fit: FitSize,
    /// Bytes of a run before its fit: the process, ids and merged pairs.
    before_fit: u64,
    snapshot: SnapshotSize,
    training_max: Option<u64>,
    snapshot_max: Option<u64>,
}

impl MemoryBudget {
    /// The limits of the config. Without a memory limit for training in the config, that of the
    /// process.
    pub(super) fn new(config: &TrainingConfig, auto: &AutoConfig, data: &Data) -> Self {
        let table = &data.interactions;
        let (users, items) = (table.user_ids.len() as u64, (table.item_ids.len() + data.cold_items()) as u64);
        let pairs = table.items.len() as u64;
        let id_bytes: usize = table.user_ids.iter().chain(table.item_ids.iter()).map(str::len).sum();
        let ids = (users + items) * ID_BYTES + ID_COPIES * id_bytes as u64;
        Self {
            fit: FitSize { users, items, entries: pairs, threads: THREADS_ASSUMED },
            before_fit: PROCESS_BYTES + ids + pairs * PAIR_BYTES,
            snapshot: SnapshotSize {
                users,
                items,
                pairs,
                id_bytes: id_bytes as u64,
                is_weighted: is_weighted(&config.weights, &table.weights),
                has_biases: false,
            },
            training_max: auto.training_bytes_max.or_else(|| MemoryLimit::read().map(|limit| limit.bytes)),
            snapshot_max: auto.snapshot_bytes_max,
        }
    }

    /// What is short for a fit with these parameters, or for its model. The forecast does not
    /// depend on the number of threads.
    pub(super) fn shortage(&self, config: &TrainingConfig, params: &ValidParams) -> Option<Shortage> {
        let training = self.before_fit.saturating_add(params.memory_forecast_bytes(&self.fit));
        let size = SnapshotSize { has_biases: config.signal == Signal::Explicit, ..self.snapshot };
        let snapshot = size.bytes(params.factors() as u64, params.two_hop().is_some());
        let exceeds = |needed: u64, max: Option<u64>| max.filter(|max| needed > *max);
        if let Some(limit) = exceeds(training, self.training_max) {
            let field = "spec.training.resources.limits.memory";
            return Some(Shortage { needed: training, limit, purpose: "for training", field });
        }
        let max = exceeds(snapshot, self.snapshot_max)?;
        let field = "spec.serving.resources.limits.memory";
        Some(Shortage { needed: pod_bytes(snapshot), limit: pod_bytes(max), purpose: "for serving", field })
    }
}

/// Whether weights of a fit differ from 1. A logarithm leaves 1 as it is.
fn is_weighted(config: &WeightsConfig, merged: &[f32]) -> bool {
    config.weighting == Weighting::Bm25
        || config.half_life_seconds.is_some()
        || merged.iter().any(|weight| weight.to_bits() != 1.0_f32.to_bits())
}

/// Rejects a run whose largest fit would exceed the container's limit, or whose map from item
/// features would; the message contains a sufficient limit.
pub(super) fn check(config: &TrainingConfig, data: &Data) -> Result<(), RunError> {
    let params = &largest_params(config)?;
    let table = &data.interactions;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let size = FitSize {
        users: table.user_ids.len() as u64,
        items: (table.item_ids.len() + data.cold_items()) as u64,
        entries: table.items.len() as u64,
        threads: threads as u64,
    };
    let features = data.features.as_ref();
    let run = features.map_or(0, |features| features_bytes(config, features, &size, params.factors()));
    let run = run.max(params.memory_forecast_bytes(&size));
    let limit = MemoryLimit::read();
    tracing::debug!(bytes = run, ?limit, "memory forecast");
    limit.map_or(Ok(()), |limit| compare(run, limit))
}

/// Peak memory of the largest fit of a config.
fn fit_forecast(config: &TrainingConfig, size: &FitSize) -> Result<u64, RunError> {
    let Algorithm::Auto(limits) = &config.algorithm else {
        return Ok(largest_params(config)?.memory_forecast_bytes(size));
    };
    super::check_config(config)?;
    let forecast = |name: &str| {
        let defaults = Algorithm::with_defaults(name, config.signal, serde_json::Map::new()).ok()?;
        let largest = algorithms::definition(&defaults).ok()?.with_factors(limits.factors_max);
        // An algorithm that does not take the signal is no candidate.
        Some(algorithms::check(&largest, config.signal).ok()?.memory_forecast_bytes(size))
    };
    Ok(Algorithm::NAMES.into_iter().filter_map(forecast).max().unwrap_or(0))
}

/// The given parameters, or those of a trial with the most factors.
fn largest_params(config: &TrainingConfig) -> Result<ValidParams, RunError> {
    let given = algorithms::definition(&config.algorithm)?;
    match config.tuning.as_ref().and_then(|tuning| tuning.factors_max) {
        Some(factors) if factors > given.factors() => {
            super::check(&TrainingConfig { algorithm: given.with_factors(factors), ..config.clone() })
        }
        _ => super::check(config),
    }
}

/// Memory of the map from features to factors, beside the model that it is fitted to.
fn features_bytes(config: &TrainingConfig, features: &ItemFeatures, size: &FitSize, factors: usize) -> u64 {
    let attributes = AttributeSize {
        items: features.seen.users() as u64,
        cold_items: features.cold.users() as u64,
        values: features.seen.items() as u64,
        entries: features.seen.nnz() as u64,
    };
    let biases = usize::from(config.signal == Signal::Explicit);
    let map = AttributeMap::memory_forecast_bytes(&attributes, factors + biases);
    size.fitted_bytes(factors).saturating_add(map)
}

fn compare(run: u64, limit: MemoryLimit) -> Result<(), RunError> {
    let needed = run.saturating_add(limit.used);
    if needed <= limit.bytes {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(MEBIBYTE);
    Err(RunError::permanent(
        FailureReason::CapacityInsufficient,
        format!(
            "training needs about {} MiB of memory and the limit is {} MiB: set spec.training.resources.limits.memory to {}Mi \
             or more, or lower the factors of spec.algorithm or of its search",
            mebibytes(needed),
            mebibytes(limit.bytes),
            // A quarter more than the forecast, as a margin for memory that it does not count.
            mebibytes(needed.saturating_add(needed / 4))
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use factorization::{Entry, Interactions};
    use model_snapshot::StringTable;

    use super::*;
    use crate::offline::local_config;

    #[test]
    fn message_contains_the_limit_to_set() {
        let limit = |mebibytes: u64| MemoryLimit { bytes: mebibytes * MEBIBYTE, used: 40 * MEBIBYTE };
        compare(60 * MEBIBYTE, limit(100)).unwrap();
        let error = compare(60 * MEBIBYTE, limit(99)).unwrap_err();
        assert!(error.to_string().contains("needs about 100 MiB of memory and the limit is 99 MiB"), "{error}");
        assert!(error.to_string().contains("limits.memory to 125Mi"), "{error}");
    }

    #[test]
    fn weighting_gives_weights_to_bare_visits() {
        let weights = |weighting| WeightsConfig { weighting, ..WeightsConfig::default() };
        assert!(
            !is_weighted(&weights(Weighting::None), &[1.0, 1.0]) && is_weighted(&weights(Weighting::None), &[1.0, 2.0])
        );
        assert!(!is_weighted(&weights(Weighting::Log), &[1.0]) && is_weighted(&weights(Weighting::Bm25), &[1.0]));
        assert!(is_weighted(&WeightsConfig { half_life_seconds: Some(1), ..WeightsConfig::default() }, &[1.0]));
    }

    #[test]
    fn the_map_from_features_needs_memory_beside_the_model() {
        let config = local_config(Path::new("visits.csv"));
        let entries = (0..1000).map(|item| Entry { user: item, item: item % 50, value: 1.0 }).collect();
        let seen = Interactions::from_entries(1000, 50, entries).unwrap();
        let cold = seen.clone();
        let features = ItemFeatures { seen, cold, cold_ids: StringTable::default() };
        let size = FitSize { users: 10, items: 2000, entries: 5000, threads: 1 };
        let model = (10 + 2000) * 8 * 4 + 5000 * 8;
        // Matrices of 1,000 items, as many cold-start items and 50 values, then the entries.
        let map = 2000 * 8 * 24 + 50 * 8 * 56 + 1000 * 24 + 1000 * 24 + 50 * 8;
        assert_eq!(features_bytes(&config, &features, &size, 8), model + map);
    }
}

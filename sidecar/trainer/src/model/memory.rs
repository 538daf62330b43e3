//! Forecast of the fit's memory, compared with the container's limit before hours of computation.

use factorization::{FitSize, ValidParams};
use sidecar_contract::TrainingConfig;

use crate::{
    failure::{FailureReason, RunError},
    merge::InteractionTable,
    profile::Profile,
};

/// Files with the limit: control groups version 2, then version 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
const MEBIBYTE: u64 = 1 << 20;

/// Bytes of a row: as read (with a time), plus as sorted.
const ROW_BYTES: u64 = 20 + 16;
/// Bytes of a merged pair.
const PAIR_BYTES: u64 = 16;
/// Overhead in bytes of an id besides its text: in the interner's map, on the heap, and in the
/// sorted table.
const ID_BYTES: u64 = 96;
/// Bytes of the idle process.
const PROCESS_BYTES: u64 = 32 * MEBIBYTE;

/// Peak memory of a run in bytes, for data with this profile.
pub fn forecast(config: &TrainingConfig, data: &Profile, threads: u64) -> Result<u64, RunError> {
    let params = super::check(config)?;
    let (users, items, pairs) = (data.users(), data.items(), data.pairs());
    let ids = (users + items) * ID_BYTES + 2 * data.id_bytes;
    let reading = data.rows.kept * ROW_BYTES + pairs * PAIR_BYTES;
    let fitting = pairs * PAIR_BYTES + params.memory_forecast_bytes(&FitSize { users, items, entries: pairs, threads });
    Ok(PROCESS_BYTES + ids + reading.max(fitting))
}

/// Rejects a fit that would exceed the container's limit; the message contains a sufficient limit.
pub(super) fn check(interactions: &InteractionTable, cold_items: usize, params: &ValidParams) -> Result<(), RunError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let fit = params.memory_forecast_bytes(&FitSize {
        users: interactions.user_ids.len() as u64,
        items: (interactions.item_ids.len() + cold_items) as u64,
        entries: interactions.items.len() as u64,
        threads: threads as u64,
    });
    let resident = resident_bytes();
    tracing::debug!(bytes = fit.saturating_add(resident), fit, resident, "memory forecast");
    match limit_bytes() {
        Some(limit) => compare(fit, resident, limit),
        None => Ok(()),
    }
}

fn compare(fit: u64, resident: u64, limit: u64) -> Result<(), RunError> {
    let needed = fit.saturating_add(resident);
    if needed <= limit {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(MEBIBYTE);
    Err(RunError::permanent(
        FailureReason::CapacityInsufficient,
        format!(
            "training needs about {} MiB of memory and the limit is {} MiB: set spec.training.resources.limits.memory to {}Mi \
             or more, or lower the factors of spec.algorithm",
            mebibytes(needed),
            mebibytes(limit),
            // A quarter more than the forecast, as a margin for memory that it does not count.
            mebibytes(needed.saturating_add(needed / 4))
        ),
    ))
}

fn limit_bytes() -> Option<u64> {
    // Without a limit, version 2 contains `max`, and version 1 contains a number that exceeds any
    // machine.
    LIMIT_FILES.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

fn resident_bytes() -> u64 {
    let in_kibibytes = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    in_kibibytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_contains_the_limit_to_set() {
        compare(60 * MEBIBYTE, 40 * MEBIBYTE, 100 * MEBIBYTE).unwrap();
        let error = compare(60 * MEBIBYTE, 40 * MEBIBYTE, 99 * MEBIBYTE).unwrap_err();
        assert!(error.to_string().contains("needs about 100 MiB of memory and the limit is 99 MiB"), "{error}");
        assert!(error.to_string().contains("limits.memory to 125Mi"), "{error}");
    }

    #[test]
    fn resident_bytes_of_this_process_are_positive() {
        assert!(resident_bytes() > 100_000);
    }
}

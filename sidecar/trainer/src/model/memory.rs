//! Whether the fit will fit: a forecast against the container's memory limit, before hours are spent.

use factorization::{ValidParams, memory_forecast_bytes};
use sidecar_contract::TrainingConfig;

use crate::{
    failure::{FailureReason, Stop},
    merge::Merged,
    profile::Profile,
};

/// Where the limit stands: control groups version 2, then version 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
const MEBIBYTE: u64 = 1 << 20;

/// Bytes of a row as it is read (with a time) and as it is sorted.
const ROW_BYTES: u64 = 20 + 16;
/// Bytes of a merged pair.
const PAIR_BYTES: u64 = 16;
/// Bytes of an id beside its text: in the map that numbers it, on the heap, and in the sorted table.
const ID_BYTES: u64 = 96;
/// Bytes of the process before it reads anything.
const PROCESS_BYTES: u64 = 32 * MEBIBYTE;

/// What a run takes at its peak, in bytes, for data that comes to this much.
pub fn forecast(config: &TrainingConfig, data: &Profile, threads: u64) -> Result<u64, Stop> {
    let params = super::check(config)?;
    let (users, items, pairs) = (data.users(), data.items(), data.pairs());
    let ids = (users + items) * ID_BYTES + 2 * data.id_bytes;
    let reading = data.rows.kept * ROW_BYTES + pairs * PAIR_BYTES;
    let fitting = pairs * PAIR_BYTES + memory_forecast_bytes(users, items, pairs, threads, &params);
    Ok(PROCESS_BYTES + ids + reading.max(fitting))
}

/// Refuses a fit that the container's limit would kill; the message holds the number to set.
pub(super) fn check(interactions: &Merged, cold_items: usize, params: &ValidParams) -> Result<(), Stop> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let fit = memory_forecast_bytes(
        interactions.user_ids.len() as u64,
        (interactions.item_ids.len() + cold_items) as u64,
        interactions.items.len() as u64,
        threads as u64,
        params,
    );
    let resident = resident_bytes();
    tracing::debug!(bytes = fit.saturating_add(resident), fit, resident, "memory forecast");
    match limit_bytes() {
        Some(limit) => compare(fit, resident, limit),
        None => Ok(()),
    }
}

fn compare(fit: u64, resident: u64, limit: u64) -> Result<(), Stop> {
    let needed = fit.saturating_add(resident);
    if needed <= limit {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(MEBIBYTE);
    Err(Stop::failed(
        FailureReason::CapacityInsufficient,
        format!(
            "training needs about {} MiB of memory and the limit is {} MiB: set spec.training.resources.limits.memory to {}Mi \
             or more, or lower the factors of spec.algorithm",
            mebibytes(needed),
            mebibytes(limit),
            // A quarter more than the forecast, for what it does not count.
            mebibytes(needed.saturating_add(needed / 4))
        ),
    ))
}

fn limit_bytes() -> Option<u64> {
    // Without a limit, version 2 says `max` and version 1 a number beyond any machine.
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
    fn the_message_holds_the_number_to_set() {
        compare(60 * MEBIBYTE, 40 * MEBIBYTE, 100 * MEBIBYTE).unwrap();
        let stop = compare(60 * MEBIBYTE, 40 * MEBIBYTE, 99 * MEBIBYTE).unwrap_err();
        assert!(stop.to_string().contains("needs about 100 MiB of memory and the limit is 99 MiB"), "{stop}");
        assert!(stop.to_string().contains("limits.memory to 125Mi"), "{stop}");
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(resident_bytes() > 100_000);
    }
}

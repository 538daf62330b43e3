//! How much memory a fit takes, before it is tried.

use crate::{gram::CHUNKS_MAX, params::ValidParams, row_solver::Scratch};

/// Bytes of an entry in one compressed orientation: column and value.
const ENTRY_BYTES: u64 = 8;
/// Bytes of an entry while it is being sorted.
const UNSORTED_ENTRY_BYTES: u64 = 12;
/// Bytes of a factor.
const FACTOR_BYTES: u64 = 4;

/// Forecast of a fit's peak in bytes, interactions included, ids and process not: entries as read, both orientations, both
/// factor matrices, and each thread's scratch.
pub fn memory_forecast_bytes(users: u64, items: u64, entries: u64, threads: u64, params: &ValidParams) -> u64 {
    let f = params.factors() as u64;
    let rows = users.saturating_add(items);
    let sparse = entries.saturating_mul(2 * ENTRY_BYTES + UNSORTED_ENTRY_BYTES).saturating_add(rows.saturating_mul(16));
    // With a bias, if there are biases.
    let factors = rows.saturating_mul(f + 1).saturating_mul(FACTOR_BYTES);
    // Each thread's equations, and a partial Gram matrix for each chunk of rows.
    let order = params.factors() + usize::from(matches!(params, ValidParams::ExplicitAls(_)));
    let scratch = threads.saturating_mul(Scratch::bytes(order) as u64);
    let partial = CHUNKS_MAX as u64 * 8 * f * f;
    sparse.saturating_add(factors).saturating_add(scratch).saturating_add(partial)
}

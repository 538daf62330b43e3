//! How much memory a fit takes, before it is tried.

use crate::{
    descent::padded, gram::partial_sums, params::ValidParams, rotate::TASK_ROWS, row_solver::Scratch, subspace,
};

/// Bytes of an entry in one compressed orientation: column and value.
const ENTRY_BYTES: u64 = 8;
/// Bytes of an entry beside its two orientations: before there is a second it is sorted, and after the fit it is measured or written.
const BESIDE_ENTRY_BYTES: u64 = 8;
/// Bytes of a factor.
const FACTOR_BYTES: u64 = 4;
/// Bytes that a thread copies to turn rows, for each factor.
const TASK_BYTES_EACH_COLUMN: usize = TASK_ROWS * size_of::<f32>();
/// Square matrices of an eigenbasis: the Gram matrix, its copy, vectors, and what turns rows.
const SQUARES: u64 = 4;
/// As many again where the block itself is made orthogonal.
const SUBSPACE_SQUARES: u64 = 2 * SQUARES;
/// Part of the blocks that the allocator holds of what sweeps gave back; measured.
const ALLOCATOR_PART: u64 = 8;

/// Forecast of a fit's peak in bytes, interactions included, ids and process not: entries as read, both orientations, both
/// factor matrices, and each thread's scratch.
pub fn memory_forecast_bytes(users: u64, items: u64, entries: u64, threads: u64, params: &ValidParams) -> u64 {
    let f = params.factors() as u64;
    let rows = users.saturating_add(items);
    let sparse = entries.saturating_mul(2 * ENTRY_BYTES + BESIDE_ENTRY_BYTES).saturating_add(rows.saturating_mul(16));
    let (width, order) = match params {
        // Padded while they are fitted, and copied without the padding.
        ValidParams::Als(_) => (padded(params.factors()) as u64, params.factors()),
        // As that, with a bias.
        ValidParams::ExplicitAls(_) => (padded(params.factors() + 1) as u64, params.factors() + 1),
        ValidParams::Svd(_) | ValidParams::Bpr(_) => (f, params.factors()),
    };
    let copy = if width > f { f } else { 0 };
    let factors = rows.saturating_mul(width + copy).saturating_mul(FACTOR_BYTES);
    // Each thread's equations, or its rows that are turned; a partial Gram matrix for each chunk of rows, and its eigenvectors.
    let scratch = threads.saturating_mul(Scratch::bytes(order).max(TASK_BYTES_EACH_COLUMN * order) as u64);
    let (dense, width) = match params {
        ValidParams::Svd(_) => {
            // One of the blocks becomes the factors, once the others are gone.
            let width = subspace::width(params.factors()) as u64;
            let blocks = subspace::blocks_bytes(users, items, width);
            let blocks = blocks.saturating_add(blocks / ALLOCATOR_PART);
            (blocks.max(factors.saturating_add(items.saturating_mul(width * FACTOR_BYTES))), width)
        }
        ValidParams::Als(_) | ValidParams::ExplicitAls(_) | ValidParams::Bpr(_) => (factors, width),
    };
    let squares = if matches!(params, ValidParams::Svd(_)) { SUBSPACE_SQUARES } else { SQUARES };
    let squares = partial_sums(users.max(items)).saturating_add(squares).saturating_mul(8 * width * width);
    let more = match params {
        // Weights times their shares, and items as they are served beside those that were fitted.
        ValidParams::Als(params) if params.has_degrees() => {
            let served = if copy > 0 || !params.has_return() { 0 } else { items.saturating_mul(f * FACTOR_BYTES) };
            entries.saturating_mul(ENTRY_BYTES).saturating_add(rows.saturating_mul(8)).saturating_add(served)
        }
        // Sums over samples, and the mean and its turned copy, all of items in f64.
        ValidParams::ExplicitAls(params) if params.samples() > 0 => items.saturating_mul(4 * 8 * (f + 1)),
        // Weights over degrees, or what averages leave.
        ValidParams::Svd(_) => entries.saturating_mul(ENTRY_BYTES),
        // BPR has whose an entry is, and whose turn, in place of the second orientation.
        ValidParams::Als(_) | ValidParams::ExplicitAls(_) | ValidParams::Bpr(_) => 0,
    };
    sparse.saturating_add(dense).saturating_add(more).saturating_add(scratch).saturating_add(squares)
}

//! The data guards: whether the rows of a run are those that the spec expects. A model of other
//! rows does not serve.

use sidecar_contract::{RowCounts, RunOutcome, RunResult};

use crate::validate::Plan;

/// Reason of dropped rows that the spec excludes on purpose.
pub const INTENDED_REASON: &str = "eventNotListed";

/// Why the model of a run may not serve: its rows are not those that the spec expects.
#[derive(Clone, Debug, PartialEq)]
pub enum DataFault {
    /// Too many rows were dropped.
    Dropped {
        /// Rows that were dropped although the spec does not exclude them.
        dropped: u64,
        /// Rows that were read, without those that the spec excludes.
        read: u64,
        /// `data.maxDroppedFraction`.
        allowed: f64,
    },
    /// Too few rows were kept.
    TooFew {
        /// Kept rows.
        kept: u64,
        /// `data.minRows`.
        required: u64,
    },
    /// Far fewer rows were kept than for the serving model.
    Shrunk {
        /// Kept rows.
        kept: u64,
        /// Kept rows of the serving model.
        before: u64,
        /// `data.maxShrinkFraction`.
        allowed: f64,
    },
}

/// Checks the rows of a run. `serving` is the run of the serving model.
pub(super) fn data_fault(plan: &Plan, result: &RunResult, serving: Option<&RunResult>) -> Option<DataFault> {
    let (data, rows) = (&plan.data, &result.rows);
    if !matches!(result.outcome, RunOutcome::Trained { .. }) || rows.read == 0 {
        return None;
    }
    let (dropped, read) = unintended(rows);
    if dropped as f64 > data.max_dropped_fraction * read as f64 {
        return Some(DataFault::Dropped { dropped, read, allowed: data.max_dropped_fraction });
    }
    if let Some(required) = data.min_rows.filter(|required| rows.kept < *required) {
        return Some(DataFault::TooFew { kept: rows.kept, required });
    }
    // Another spec may use other data on purpose.
    let serving = serving.filter(|s| s.config_hash == result.config_hash && s.run.number < result.run.number)?;
    let (before, allowed) = (serving.rows.kept, data.max_shrink_fraction);
    let is_shrunk = (rows.kept as f64) < (1.0 - allowed) * before as f64;
    is_shrunk.then_some(DataFault::Shrunk { kept: rows.kept, before, allowed })
}

/// Rows that were dropped, and rows that were read, without those that the spec excludes on
/// purpose.
fn unintended(rows: &RowCounts) -> (u64, u64) {
    let intended = rows.dropped.get(INTENDED_REASON).copied().unwrap_or(0);
    (rows.dropped.values().sum::<u64>().saturating_sub(intended), rows.read.saturating_sub(intended))
}

//! The condition of the data: what a run of the current spec has read, and whether its rows are
//! those that the spec expects.

use std::collections::BTreeMap;

use recommender_crds::{ConditionType, Reason, condition::ConditionUpdate};
use serde_json::json;
use sidecar_contract::{RowCounts, RunResult, patch_command};

use super::{StatusInput, percent_of, training};
use crate::decide::{DataFault, Judged};

/// Maximum number of reasons of dropped rows, and of forms of reinterpreted rows, in a message.
const NAMES_MAX: usize = 3;

/// The condition `DataReady`. It is True only for data that a run of the current spec has read.
pub(super) fn condition(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::DataReady;
    if let Some(problem) = training::trainer_problem(input).filter(|t| t.reason == Reason::ReferenceNotFound) {
        return ConditionUpdate::is_not(kind, problem.reason, problem.message);
    }
    let failure = training::failure(input);
    if let Some((reason, message)) = failure.clone().filter(|(reason, _)| is_of_data(*reason)) {
        return ConditionUpdate::is_not(kind, reason, message);
    }
    if let Some((fault, judged)) = faulty(input) {
        return ConditionUpdate::is_not(kind, fault_reason(fault), self::fault(input, judged, fault));
    }
    match newest_read(input) {
        Some(result) => ConditionUpdate::is(kind, Reason::DataAvailable, read(&result.rows)),
        None if input.observed.runs.is_err() => ConditionUpdate::unknown(
            kind,
            Reason::StoreUnreachable,
            "the store is unreachable, so past runs are unknown",
        ),
        None => {
            let because = failure.map(|(_, message)| format!(": {message}")).unwrap_or_default();
            let message = format!("no run of this spec has read the data yet{because}");
            ConditionUpdate::unknown(kind, Reason::DataUnknown, message)
        }
    }
}

/// Whether a run that failed for this reason states that its data cannot be used.
fn is_of_data(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DataInvalid | Reason::SourceNotFound | Reason::SourceUnreachable | Reason::TooFewInteractions
    )
}

/// The newest run of the current spec that read rows. A run that found the data unchanged, or that
/// failed before it read, did not.
fn newest_read(input: StatusInput<'_>) -> Option<&RunResult> {
    let of_spec = input.results().filter(|result| result.config_hash == input.plan.hashes.config);
    of_spec.filter(|result| result.rows.read > 0).max_by_key(|result| result.run.number)
}

/// The newest model of the current spec, if its rows do not allow it to serve.
fn faulty(input: StatusInput<'_>) -> Option<(&DataFault, &Judged)> {
    let judged = input.decision.gate.as_ref()?;
    let newest = newest_read(input)?;
    (newest.run.number == judged.run).then_some((judged.data_fault.as_ref()?, judged))
}

/// Reason of a data fault.
pub(super) fn fault_reason(fault: &DataFault) -> Reason {
    match fault {
        DataFault::Dropped { .. } => Reason::RowsDropped,
        DataFault::TooFew { .. } => Reason::TooFewRows,
        DataFault::Shrunk { .. } => Reason::RowsMissing,
    }
}

/// Why the rows of a model do not allow it to serve, and what to do.
pub(super) fn fault(input: StatusInput<'_>, judged: &Judged, fault: &DataFault) -> String {
    let run = judged.run;
    let why = match *fault {
        DataFault::Dropped { dropped, read, allowed } => {
            let rows = input.results().find(|result| result.run.number == run).map(|result| &result.rows);
            format!(
                "run {run} dropped {dropped} of {read} rows ({}){}; data.maxDroppedFraction allows {}",
                percent_of(dropped as f64 / read as f64),
                rows.map(by_reason).unwrap_or_default(),
                percent_of(allowed)
            )
        }
        DataFault::TooFew { kept, required } => {
            format!("run {run} kept {kept} rows; data.minRows requires {required}")
        }
        DataFault::Shrunk { kept, before, allowed } => format!(
            "run {run} kept {kept} rows, the serving model has {before}; data.maxShrinkFraction allows {} fewer",
            percent_of(allowed)
        ),
    };
    format!(
        "{why}: its model does not serve. Fix the data at the source. To accept these rows: {}",
        accept(input, fault)
    )
}

/// The command that accepts the rows of a model.
fn accept(input: StatusInput<'_>, fault: &DataFault) -> String {
    let up_to_percent = |fraction: f64| ((100.0 * fraction).ceil() / 100.0).min(1.0);
    let field = match *fault {
        DataFault::Dropped { dropped, read, .. } => {
            json!({"maxDroppedFraction": up_to_percent(dropped as f64 / read as f64)})
        }
        DataFault::TooFew { kept, .. } => json!({"minRows": kept.max(1)}),
        DataFault::Shrunk { kept, before, .. } => {
            json!({"maxShrinkFraction": up_to_percent(1.0 - kept as f64 / before as f64)})
        }
    };
    patch_command(&input.plan.namespace, &input.plan.name, &json!({ "data": field }))
}

/// The most frequent reasons of dropped rows: `: notANumber 626`.
fn by_reason(rows: &RowCounts) -> String {
    most_frequent(&rows.dropped)
}

/// The most frequent entries of counts by name: `: paddedId 12, floatId 3`.
fn most_frequent(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
    let listed: Vec<String> = counts.iter().take(NAMES_MAX).map(|(name, count)| format!("{name} {count}")).collect();
    if listed.is_empty() { String::new() } else { format!(": {}", listed.join(", ")) }
}

fn read(rows: &RowCounts) -> String {
    let dropped: u64 = rows.dropped.values().sum();
    let reinterpreted = if rows.reinterpreted.is_empty() {
        String::new()
    } else {
        format!(", values read in another form than written{}", most_frequent(&rows.reinterpreted))
    };
    format!(
        "{} of {} rows kept, {dropped} dropped{}, {} merged{reinterpreted}",
        rows.kept,
        rows.read,
        by_reason(rows),
        rows.merged
    )
}

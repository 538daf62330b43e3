//! Retention: which results and snapshots may be deleted from the store. Nothing is deleted that
//! the revision history, a pin, a promotion, a serving config, a pod's report or a running run
//! references.

use std::collections::BTreeSet;

use sidecar_contract::{BatchId, CatalogueVersion, Digest, ModelReport, RunId, RunResult, ServingConfig};

use super::{Serving, batch, catalogue, result_digest, serving::matches_revision};
use crate::{observed::Observed, validate::Plan};

/// Minimum number of newest results that are retained, whatever their outcome: they determine the
/// number of the next run and the count of its failures.
pub const RESULTS_RETAINED_MIN: usize = 20;
/// Minimum age in seconds at which an orphan is deleted. A snapshot without a result may belong to
/// a run that has not committed yet, so it is retained for the maximum duration of a run with all
/// its retries, and a margin.
const ORPHAN_AGE_SECONDS_MIN: u64 = 3600;

/// The history of a Recommender is this many times as long while a running pod does not report: the
/// pod has loaded its revision, and only a pod that starts again needs it in the store.
const UNREPORTED_HISTORY_FACTOR: usize = 2;

/// References to revisions, other than run results.
#[derive(Clone, Copy, Debug)]
pub(super) struct RevisionReferences<'a> {
    /// The revisions that should serve.
    pub serving: &'a Serving,
    /// The serving config that was in force before this pass.
    pub before: Option<&'a ServingConfig>,
    /// Reports of the serving pods by pod name.
    pub reports: &'a [(String, ModelReport)],
    /// Whether each running serving pod has reported.
    pub all_pods_report: bool,
}

/// Objects to delete from the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Runs whose results are deleted, oldest first.
    pub runs: Vec<RunId>,
    /// Snapshots that no remaining result references.
    pub snapshots: BTreeSet<Digest>,
    /// Snapshots without a result that no running run can still commit; `None` if this pass does
    /// not search for orphans.
    pub orphans: Option<BTreeSet<Digest>>,
    /// Results of old batches.
    pub batches: Vec<BatchId>,
    /// Old catalogues.
    pub catalogues: Vec<(CatalogueVersion, Digest)>,
}

/// Decides what is deleted. Nothing is deleted while the results are unknown. While a pod without a
/// report may have any revision loaded, more revisions are retained, and all snapshots without a
/// result.
pub(super) fn retention(plan: &Plan, observed: &Observed, serving: &Serving, now: i64) -> Garbage {
    let Ok(results) = &observed.runs else { return Garbage::default() };
    let all_pods_report = observed.all_pods_report();
    let (before, reports) = (observed.config.as_ref(), observed.reports.as_slice());
    let references = RevisionReferences { serving, before, reports, all_pods_report };
    // The outcome of a newer trainer may reference any snapshot.
    let all_known = all_pods_report && results.iter().all(|result| result.outcome.unknown().is_none());
    let stored = observed.snapshots.as_deref().filter(|_| all_known);
    Garbage {
        batches: batch::garbage(observed),
        catalogues: catalogue::garbage(observed, serving),
        orphans: stored.map(|stored| orphans(plan, results, references, stored, now)),
        ..garbage(plan, results, references)
    }
}

/// Determines the garbage, given all results in the store. The newest result, which numbers the
/// next run, is never garbage.
pub(super) fn garbage(plan: &Plan, results: &[RunResult], references: RevisionReferences<'_>) -> Garbage {
    let mut newest: Vec<&RunResult> = results.iter().collect();
    newest.sort_by_key(|result| std::cmp::Reverse(result.run.number));
    let retained = retained_revisions(plan, &newest, references);
    let (mut remaining, mut garbage): (BTreeSet<&Digest>, Vec<&RunResult>) = (BTreeSet::new(), Vec::new());
    for (position, result) in newest.iter().enumerate() {
        let is_retained = match result_digest(result) {
            Some(digest) => retained.contains(digest),
            None => position < RESULTS_RETAINED_MIN,
        };
        if is_retained {
            remaining.extend(result_digest(result));
        } else {
            garbage.push(result);
        }
    }
    garbage.reverse();
    let snapshots = garbage.iter().filter_map(|result| result_digest(result));
    Garbage {
        snapshots: snapshots.filter(|digest| !remaining.contains(digest)).cloned().collect(),
        runs: garbage.iter().map(|result| result.run.clone()).collect(),
        orphans: None,
        batches: Vec::new(),
        catalogues: Vec::new(),
    }
}

/// Revisions that are retained: the newest ones within the history limit, which is longer while a
/// pod does not report, and all referenced ones.
fn retained_revisions(plan: &Plan, newest: &[&RunResult], references: RevisionReferences<'_>) -> BTreeSet<Digest> {
    let factor = if references.all_pods_report { 1 } else { UNREPORTED_HISTORY_FACTOR };
    let limit = factor * plan.spec.revision_history_limit as usize;
    let mut retained: BTreeSet<Digest> = BTreeSet::new();
    for digest in newest.iter().filter_map(|result| result_digest(result)) {
        if retained.len() < limit {
            retained.insert(digest.clone());
        }
        if [plan.pin(), plan.promote.as_deref()].into_iter().flatten().any(|name| matches_revision(name, digest)) {
            retained.insert(digest.clone());
        }
    }
    let serving = references.serving;
    retained.extend(serving.desired.iter().chain(&serving.last_good).map(|revision| revision.digest.clone()));
    retained.extend(serving.candidate.clone());
    let before = references.before.iter().flat_map(|config| &config.revisions);
    retained.extend(before.map(|revision| revision.digest.clone()));
    let loaded = references.reports.iter().filter_map(|(_, report)| report.loaded.as_ref());
    retained.extend(loaded.map(|loaded| loaded.digest.clone()));
    retained
}

/// Of the stored snapshots (with the second when each was stored), the ones that are not referenced
/// and that no running run can still commit.
pub(super) fn orphans(
    plan: &Plan,
    results: &[RunResult],
    references: RevisionReferences<'_>,
    stored: &[(Digest, i64)],
    now: i64,
) -> BTreeSet<Digest> {
    let newest: Vec<&RunResult> = results.iter().collect();
    let mut retained = retained_revisions(plan, &newest, references);
    retained.extend(results.iter().filter_map(result_digest).cloned());
    let age_min = plan.training.deadline.as_secs().saturating_mul(2).max(ORPHAN_AGE_SECONDS_MIN);
    let stored_before = now.saturating_sub(i64::try_from(age_min).unwrap_or(i64::MAX));
    let orphans = stored.iter().filter(|(digest, at)| *at < stored_before && !retained.contains(digest));
    orphans.map(|(digest, _)| digest.clone()).collect()
}

//! What the store may forget. Nothing goes that the history, a pin, a config, a pod's report or a running run names.

use std::collections::BTreeSet;

use sidecar_contract::{Digest, ModelReport, RunId, RunResult, ServingConfig};

use super::{Serving, digest, names, pin};
use crate::validate::Plan;

/// Newest results that stay, whatever they say: they number the next run and count its failures.
pub const RESULTS_KEPT_MIN: usize = 20;
/// A snapshot that no result names may belong to a run that has not committed yet; it stays for the longest time that one
/// run can take, all its tries and some.
const ORPHAN_SECONDS_MIN: u64 = 3600;

/// What names revisions beside the results.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// What should serve.
    pub serving: &'a Serving,
    /// The config that was in force before.
    pub before: Option<&'a ServingConfig>,
    /// What pods say they have.
    pub reports: &'a [(String, ModelReport)],
}

/// What can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Results, the oldest first.
    pub runs: Vec<RunId>,
    /// Snapshots that no remaining result names.
    pub snapshots: BTreeSet<Digest>,
}

/// What can go, of all results that the store has. The newest, which numbers the next run, always stays.
pub fn garbage(plan: &Plan, results: &[RunResult], named: Named<'_>) -> Garbage {
    let mut newest: Vec<&RunResult> = results.iter().collect();
    newest.sort_by_key(|result| std::cmp::Reverse(result.run.number));
    let kept = kept(plan, &newest, named);
    let (mut stay, mut go): (BTreeSet<&Digest>, Vec<&RunResult>) = (BTreeSet::new(), Vec::new());
    for (position, result) in newest.iter().enumerate() {
        let is_kept = match digest(result) {
            Some(digest) => kept.contains(digest),
            None => position < RESULTS_KEPT_MIN,
        };
        if is_kept {
            stay.extend(digest(result));
        } else {
            go.push(result);
        }
    }
    go.reverse();
    Garbage {
        snapshots: go.iter().filter_map(|result| digest(result)).filter(|d| !stay.contains(d)).cloned().collect(),
        runs: go.iter().map(|result| result.run.clone()).collect(),
    }
}

/// Revisions that stay: the newest of the history limit, and all that something names.
fn kept(plan: &Plan, newest: &[&RunResult], named: Named<'_>) -> BTreeSet<Digest> {
    let limit = plan.spec.revision_history_limit as usize;
    let mut kept: BTreeSet<Digest> = BTreeSet::new();
    for digest in newest.iter().filter_map(|result| digest(result)) {
        if kept.len() < limit {
            kept.insert(digest.clone());
        }
        if [pin(plan), plan.promote.as_deref()].into_iter().flatten().any(|name| names(name, digest)) {
            kept.insert(digest.clone());
        }
    }
    let serving = named.serving;
    kept.extend(serving.desired.iter().chain(&serving.last_good).map(|revision| revision.digest.clone()));
    kept.extend(serving.candidate.clone());
    kept.extend(named.before.iter().flat_map(|config| &config.revisions).map(|revision| revision.digest.clone()));
    let loaded = named.reports.iter().filter_map(|(_, report)| report.loaded.as_ref());
    kept.extend(loaded.map(|loaded| loaded.digest.clone()));
    kept
}

/// Of stored snapshots (with the second when they were stored) those that no result and nothing else names, and that no
/// running run can be about to name.
pub fn orphans(
    plan: &Plan,
    results: &[RunResult],
    named: Named<'_>,
    stored: &[(Digest, i64)],
    now: i64,
) -> BTreeSet<Digest> {
    let newest: Vec<&RunResult> = results.iter().collect();
    let mut wanted = kept(plan, &newest, named);
    wanted.extend(results.iter().filter_map(digest).cloned());
    let patience = plan.training.deadline.as_secs().saturating_mul(2).max(ORPHAN_SECONDS_MIN);
    let before = now.saturating_sub(i64::try_from(patience).unwrap_or(i64::MAX));
    let old = stored.iter().filter(|(digest, at)| *at < before && !wanted.contains(digest));
    old.map(|(digest, _)| digest.clone()).collect()
}

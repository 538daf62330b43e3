//! Which revision should serve.

use sidecar_contract::{Digest, RunOutcome, RunResult};

use super::{Verdict, gate};
use crate::validate::Plan;

/// The revisions that should serve: the newest that the gate lets pass, and the one before it. One that could not be
/// compared serves only if nothing else does.
pub fn serving<'a>(plan: &Plan, results: &'a [RunResult]) -> Vec<&'a RunResult> {
    let mut trained: Vec<&RunResult> =
        results.iter().filter(|r| matches!(r.outcome, RunOutcome::Trained { .. })).collect();
    trained.sort_by_key(|r| std::cmp::Reverse(r.run.number));
    let passed = |r: &&&RunResult| matches!(gate(plan, r), Verdict::Passed { .. });
    let mut chosen: Vec<&RunResult> = trained.iter().filter(passed).copied().collect();
    if chosen.is_empty() {
        chosen = trained.iter().filter(|r| gate(plan, r) == Verdict::Unknown).copied().collect();
    }
    // A revision is its content: two runs with equal bytes are one revision.
    let mut digests: Vec<&Digest> = Vec::new();
    chosen.retain(|result| match &result.outcome {
        RunOutcome::Trained { digest, .. } if !digests.contains(&digest) => {
            digests.push(digest);
            true
        }
        _ => false,
    });
    chosen.truncate(2);
    chosen
}

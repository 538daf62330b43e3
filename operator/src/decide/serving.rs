//! Which revision should serve, which one stands behind it, and which pod loads it first. What serves now is read from the
//! serving config, which outlives the status and the operator: whatever cannot be decided leaves it as it is.

use sidecar_contract::{
    Answers, Digest, Incumbent, Metrics, ModelReport, RevisionRef, RevisionRole, RunOutcome, RunResult, ServingConfig,
};

use super::{Verdict, config_hash, gate};
use crate::validate::Plan;

/// What should serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// What the pods should load; `None` only as long as nothing was ever trained.
    pub desired: Option<RevisionRef>,
    /// What they serve when they cannot.
    pub last_good: Option<RevisionRef>,
    /// Why it is the desired one.
    pub choice: Choice,
    /// The revision that would serve, if it were not for a pin, for promotion by hand, or for `suspend`.
    pub candidate: Option<Digest>,
}

/// Why a revision is the desired one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// There is none.
    Nothing,
    /// The newest that passes the gate.
    Passed,
    /// Nothing could be compared, and nothing better is there.
    Unmeasured,
    /// `spec.model.revision` names it.
    Pinned,
    /// The promote annotation names it.
    Promoted,
    /// It served before, and nothing may or can take its place.
    Kept,
    /// No model is good enough yet: what is popular answers.
    PopularOnly,
    /// The pin names a revision that is not there; what served goes on.
    PinNotFound,
}

impl Serving {
    /// What served before, while a change waits for its turn.
    #[must_use]
    pub fn held(&self, before: Option<&ServingConfig>) -> Self {
        let of = |role| before.and_then(|config| config.revision(role)).cloned();
        let (desired, last_good) = (of(RevisionRole::Desired), of(RevisionRole::LastGood));
        Self { desired, last_good, choice: Choice::Kept, candidate: self.candidate.clone() }
    }

    /// Whether it is another revision, or another part of it, than in this config.
    pub fn differs(&self, before: Option<&ServingConfig>) -> bool {
        let what = |revision: &RevisionRef| (revision.digest.clone(), revision.answers);
        let now = before.and_then(|config| config.revision(RevisionRole::Desired));
        now.is_some() && now.map(what) != self.desired.as_ref().map(what)
    }
}

/// Decides what should serve. `now` is the serving config in force, if there is one.
pub fn serving(plan: &Plan, results: &[RunResult], now: Option<&ServingConfig>) -> Serving {
    let trained = newest_first(results);
    let current = now.and_then(|config| config.revision(RevisionRole::Desired));
    let (chosen, choice) = choose(plan, &trained, current);
    let desired = chosen.map(|chosen| RevisionRef { role: RevisionRole::Desired, ..chosen });
    let last_good = desired.as_ref().and_then(|desired| last_good(plan, &trained, desired, now));
    let candidate = desired.as_ref().and_then(|desired| candidate(plan, &trained, &desired.digest));
    Serving { desired, last_good, choice, candidate }
}

fn choose(plan: &Plan, trained: &[&RunResult], current: Option<&RevisionRef>) -> (Option<RevisionRef>, Choice) {
    let current_full = current.filter(|revision| revision.answers == Answers::Full);
    let newest = |verdict: fn(&Verdict) -> bool| trained.iter().copied().find(|result| verdict(&gate(plan, result)));
    if let Some(pin) = pin(plan) {
        // A pin that is not among the runs may still be what serves, when the store was lost.
        let pinned = trained
            .iter()
            .find_map(|result| revision(result, Answers::Full).filter(|r| names(pin, &r.digest)))
            .or_else(|| current_full.filter(|r| names(pin, &r.digest)).cloned());
        return match pinned {
            Some(pinned) => (Some(pinned), Choice::Pinned),
            None => (current.cloned(), Choice::PinNotFound),
        };
    }
    if plan.spec.suspend
        && let Some(current) = current
    {
        return (Some(fresh(trained, current)), Choice::Kept);
    }
    if plan.spec.promotion == recommender_crds::Promotion::Manual {
        let promoted = plan.promote.as_deref().and_then(|wanted| {
            trained
                .iter()
                .filter(|result| gate(plan, result).may_serve())
                .find_map(|result| revision(result, Answers::Full).filter(|r| names(wanted, &r.digest)))
        });
        return match (promoted, current_full) {
            (Some(promoted), _) => (Some(promoted), Choice::Promoted),
            (None, Some(current)) => (Some(fresh(trained, current)), Choice::Kept),
            (None, None) => popular_only(trained, current),
        };
    }
    // A model of this spec first; what served under the spec before goes on until there is one.
    if let Some(passed) = newest_of_spec(plan, trained, is_passed) {
        return (revision(passed, Answers::Full), Choice::Passed);
    }
    let verdict = current_full.and_then(|current| find(trained, &current.digest)).map(|result| gate(plan, result));
    match (current_full, verdict) {
        (Some(current), Some(Verdict::Passed { .. })) => return (Some(fresh(trained, current)), Choice::Kept),
        (Some(current), None | Some(Verdict::Failed { .. } | Verdict::Regressed { .. })) => {
            return match newest(is_passed) {
                Some(passed) => (revision(passed, Answers::Full), Choice::Passed),
                None => (Some(fresh(trained, current)), Choice::Kept),
            };
        }
        (Some(_), Some(Verdict::Unknown)) | (None, _) => {}
    }
    if let Some(passed) = newest(is_passed) {
        return (revision(passed, Answers::Full), Choice::Passed);
    }
    if let Some(unmeasured) = newest_of_spec(plan, trained, is_unknown) {
        return (revision(unmeasured, Answers::Full), Choice::Unmeasured);
    }
    match (current_full, newest(is_unknown)) {
        (Some(current), _) => (Some(fresh(trained, current)), Choice::Kept),
        (None, Some(unmeasured)) => (revision(unmeasured, Answers::Full), Choice::Unmeasured),
        (None, None) => popular_only(trained, current),
    }
}

fn is_passed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Passed { .. })
}

fn is_unknown(verdict: &Verdict) -> bool {
    *verdict == Verdict::Unknown
}

/// The newest model that was trained for the spec of now and of which the gate says this.
fn newest_of_spec<'a>(plan: &Plan, trained: &[&'a RunResult], says: fn(&Verdict) -> bool) -> Option<&'a RunResult> {
    let hash = config_hash(plan);
    trained.iter().copied().find(|result| result.config_hash == hash && says(&gate(plan, result)))
}

/// The popularity of the newest model, when no model may serve.
fn popular_only(trained: &[&RunResult], current: Option<&RevisionRef>) -> (Option<RevisionRef>, Choice) {
    let popular = trained.first().and_then(|result| revision(result, Answers::Popular));
    match popular.or_else(|| current.cloned()) {
        Some(popular) => (Some(popular), Choice::PopularOnly),
        None => (None, Choice::Nothing),
    }
}

/// What serves when the desired one cannot be loaded: what served before it.
fn last_good(
    plan: &Plan,
    trained: &[&RunResult],
    desired: &RevisionRef,
    now: Option<&ServingConfig>,
) -> Option<RevisionRef> {
    let revisions = now.map(|config| config.revisions.as_slice()).unwrap_or_default();
    let other = |revision: &&RevisionRef| revision.digest != desired.digest;
    // The config names the present one first, then the one before it.
    let before = revisions.iter().find(other).cloned();
    let older = || {
        let passing = trained.iter().filter(|result| gate(plan, result).may_serve());
        passing.filter_map(|result| revision(result, Answers::Full)).find(|r| r.digest != desired.digest)
    };
    before.or_else(older).map(|revision| RevisionRef { role: RevisionRole::LastGood, ..revision })
}

/// The revision that would serve, if it were not for a pin, for promotion by hand, or for `suspend`.
fn candidate(plan: &Plan, trained: &[&RunResult], desired: &Digest) -> Option<Digest> {
    let fit = newest_of_spec(plan, trained, is_passed).or_else(|| newest_of_spec(plan, trained, is_unknown));
    fit.and_then(digest).filter(|digest| *digest != desired).cloned()
}

/// The model that serves, for a run to measure its own against, where the gate asks for that.
pub fn incumbent(plan: &Plan, results: &[RunResult], now: Option<&ServingConfig>) -> Option<Incumbent> {
    plan.spec.evaluation.gate.max_regression?;
    let current = now?.revision(RevisionRole::Desired).filter(|revision| revision.answers == Answers::Full)?;
    results.iter().find_map(|result| match &result.outcome {
        RunOutcome::Trained { digest, parameters, .. } if *digest == current.digest => {
            Some(Incumbent { digest: digest.clone(), algorithm: parameters.clone()? })
        }
        _ => None,
    })
}

/// Which pod loads a revision first, alone: only where another revision answers meanwhile, and only until one pod has it.
/// A pod keeps that part as long as it runs.
pub fn loads_first(
    serving: &Serving,
    before: Option<&ServingConfig>,
    running: &[&str],
    reports: &[(String, ModelReport)],
) -> Option<String> {
    let desired = serving.desired.as_ref()?;
    let has_it = |report: &ModelReport| report.loaded.as_ref().is_some_and(|loaded| loaded.digest == desired.digest);
    if serving.last_good.is_none() || running.len() < 2 || reports.iter().any(|(_, report)| has_it(report)) {
        return None;
    }
    let kept = before.and_then(|config| config.loads_first.as_deref()).filter(|pod| running.contains(pod));
    kept.or_else(|| running.iter().min().copied()).map(str::to_owned)
}

/// The pin, if one is set.
pub fn pin(plan: &Plan) -> Option<&str> {
    plan.spec.model.as_ref().and_then(|model| model.revision.as_deref())
}

/// Whether a name from a person (ten digits, or all of them) names a digest.
pub fn names(name: &str, digest: &Digest) -> bool {
    !name.is_empty() && digest.as_str().starts_with(name)
}

/// Trained runs, the newest first; of equal contents the newest.
fn newest_first(results: &[RunResult]) -> Vec<&RunResult> {
    let mut trained: Vec<&RunResult> = results.iter().filter(|result| digest(result).is_some()).collect();
    trained.sort_by_key(|result| std::cmp::Reverse(result.run.number));
    let mut seen: Vec<&Digest> = Vec::new();
    trained.retain(|result| {
        let Some(digest) = digest(result).filter(|digest| !seen.contains(digest)) else { return false };
        seen.push(digest);
        true
    });
    trained
}

fn find<'a>(trained: &[&'a RunResult], wanted: &Digest) -> Option<&'a RunResult> {
    trained.iter().copied().find(|result| digest(result) == Some(wanted))
}

/// What serves, with what its run says of it, if its run is still there.
fn fresh(trained: &[&RunResult], current: &RevisionRef) -> RevisionRef {
    find(trained, &current.digest).and_then(|r| revision(r, current.answers)).unwrap_or_else(|| current.clone())
}

/// The content that a run made.
pub fn digest(result: &RunResult) -> Option<&Digest> {
    match &result.outcome {
        RunOutcome::Trained { digest, .. } => Some(digest),
        RunOutcome::Unchanged | RunOutcome::Failed { .. } => None,
    }
}

fn revision(result: &RunResult, answers: Answers) -> Option<RevisionRef> {
    let RunOutcome::Trained { digest, snapshot_bytes, metrics, .. } = &result.outcome else { return None };
    Some(RevisionRef {
        digest: digest.clone(),
        snapshot_bytes: *snapshot_bytes,
        role: RevisionRole::Desired,
        answers,
        weight: 100,
        trained_at: result.finished_at,
        // Groups of users and cold items are for the report alone.
        metrics: metrics.clone().map(|metrics| Metrics { by_activity: Vec::new(), cold_items: None, ..metrics }),
    })
}

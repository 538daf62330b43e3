//! Which revision should serve, which one is the last good revision, and which pod loads the
//! desired one first. The current revision is read from the serving config, which outlives the
//! status and the operator. If no decision is possible, the current revision is kept.

use recommender_crds::Promotion;
use sidecar_contract::{
    Digest, Incumbent, IncumbentSnapshot, Metrics, ModelReport, RevisionRef, RevisionRole, RunOutcome, ServingConfig,
    ServingMode,
};

use super::{Judged, Model};
use crate::{observed::Observed, validate::Plan};

/// The revisions that should serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// Revision that the pods should load; `None` only until the first model is trained.
    pub desired: Option<RevisionRef>,
    /// Revision that pods serve if they cannot load the desired one.
    pub last_good: Option<RevisionRef>,
    /// Why that revision is desired.
    pub choice: Choice,
    /// Revision that would serve without the pin, the manual promotion or `suspend`.
    pub candidate: Option<Digest>,
    /// Revision that serves as soon as the user promotes it.
    pub awaits_promotion: Option<Digest>,
    /// Why the promote annotation has no effect, if it is set in vain.
    pub refused_promotion: Option<RefusedPromotion>,
    /// Pod that loads the desired revision before all others.
    pub loads_first: Option<LoadsFirst>,
}

/// Pod that loads a revision before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadsFirst {
    /// Name of the pod.
    pub pod: String,
    /// Second since 1970 since which a pod is to load that revision first.
    pub since: i64,
}

/// Seconds that the other pods wait for a pod that does not answer the operator. Then the readiness
/// of the pods decides: each serves the last good revision until it has loaded the desired one.
const LOADS_FIRST_SECONDS_MAX: i64 = 300;

/// Why a revision is desired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// No revision is desired.
    Nothing,
    /// It is the newest revision that passes the gate.
    Passed,
    /// It has no comparison with the baseline, and no revision passes the gate.
    Unmeasured,
    /// `spec.model.revision` names it.
    Pinned,
    /// The promote annotation names it.
    Promoted,
    /// It is the current revision, and no other one may or can replace it.
    Kept,
    /// No model passes the gate yet: only its popularity serves.
    PopularityOnly,
    /// The pinned revision does not exist; the current revision is kept.
    PinNotFound,
}

/// Why a promotion that the user requests has no effect.
#[derive(Clone, Debug, PartialEq)]
pub enum RefusedPromotion {
    /// No model has that revision.
    NotFound,
    /// The gate or a data guard does not allow the model to serve.
    MayNotServe(Box<Judged>),
}

impl Serving {
    /// The current revisions, for use while a rollout is queued.
    #[must_use]
    pub fn keep_current(&self, before: Option<&ServingConfig>) -> Self {
        let of = |role| before.and_then(|config| config.revision(role)).cloned();
        let (desired, last_good) = (of(RevisionRole::Desired), of(RevisionRole::LastGood));
        Self { desired, last_good, choice: Choice::Kept, ..self.clone() }
    }

    /// Whether the desired revision or its serving mode differs from this config.
    pub fn differs(&self, before: Option<&ServingConfig>) -> bool {
        let identity = |revision: &RevisionRef| (revision.digest.clone(), revision.serving_mode.clone());
        let current = before.and_then(|config| config.revision(RevisionRole::Desired));
        current.is_some() && current.map(identity) != self.desired.as_ref().map(identity)
    }

    /// Chooses the pod that loads the desired revision first.
    pub(super) fn with_loads_first(self, observed: &Observed, now: i64) -> Self {
        let running = observed.running_serving_pods();
        Self { loads_first: loads_first(&self, observed.config.as_ref(), &running, &observed.reports, now), ..self }
    }
}

/// Decides which revisions should serve. `models` are the newest first; `config` is the serving
/// config in force, if there is one.
pub(super) fn serving(plan: &Plan, models: &[Model<'_>], config: Option<&ServingConfig>) -> Serving {
    let current = config.and_then(|config| config.revision(RevisionRole::Desired));
    let (chosen, choice) = choose(plan, models, current);
    let desired = chosen.map(|chosen| RevisionRef { role: RevisionRole::Desired.into(), ..chosen });
    let candidate = desired.as_ref().and_then(|desired| candidate(models, &desired.digest));
    Serving {
        last_good: desired.as_ref().and_then(|desired| last_good(models, desired, config)),
        awaits_promotion: awaits_promotion(plan, models, choice, candidate.as_ref()),
        refused_promotion: refused_promotion(plan, models, desired.as_ref()),
        desired,
        choice,
        candidate,
        loads_first: None,
    }
}

/// Digest of the revision that personalizes recommendations now.
pub(super) fn personalizing_digest(config: Option<&ServingConfig>) -> Option<&Digest> {
    let current = config?.revision(RevisionRole::Desired)?;
    (current.serving_mode == ServingMode::Personalized).then_some(&current.digest)
}

/// The model that the gate condition reports on: the pinned one, or else the newest one.
pub(super) fn gated<'a, 'm>(plan: &Plan, models: &'m [Model<'a>], serving: &Serving) -> Option<&'m Model<'a>> {
    match plan.pin() {
        Some(pin) if serving.choice == Choice::Pinned => models.iter().find(|m| matches_revision(pin, m.digest)),
        _ => models.first(),
    }
}

fn choose(plan: &Plan, models: &[Model<'_>], current: Option<&RevisionRef>) -> (Option<RevisionRef>, Choice) {
    let personalized = current.filter(|revision| revision.serving_mode == ServingMode::Personalized);
    if let Some(pin) = plan.pin() {
        // If the store was lost, the pinned revision may be the current one although it has no run.
        let pinned = models.iter().find(|model| matches_revision(pin, model.digest)).and_then(personalizing);
        let pinned = pinned.or_else(|| personalized.filter(|r| matches_revision(pin, &r.digest)).cloned());
        return match pinned {
            Some(pinned) => (Some(pinned), Choice::Pinned),
            None => (current.cloned(), Choice::PinNotFound),
        };
    }
    if plan.spec.suspend
        && let Some(current) = current
    {
        let choice = if personalized.is_some() { Choice::Kept } else { Choice::PopularityOnly };
        return (Some(refreshed(models, current)), choice);
    }
    if plan.spec.promotion == Promotion::Manual {
        let promoted = plan.promote.as_deref().and_then(|promote| {
            let servable = models.iter().filter(|model| model.may_serve());
            servable.filter(|model| matches_revision(promote, model.digest)).find_map(personalizing)
        });
        return match (promoted, personalized) {
            (Some(promoted), _) => (Some(promoted), Choice::Promoted),
            (None, Some(current)) => (Some(refreshed(models, current)), Choice::Kept),
            (None, None) => popularity_only(models, current),
        };
    }
    // A model of this spec has priority. Until one exists, the current revision of the previous
    // spec keeps serving.
    if let Some(passed) = newest_of_spec(models, Model::is_passed) {
        return (personalizing(passed), Choice::Passed);
    }
    if let Some(current) = personalized {
        match find(models, &current.digest) {
            Some(model) if model.is_passed() => return (Some(refreshed(models, current)), Choice::Kept),
            Some(model) if model.is_unmeasured() => {}
            None | Some(_) => {
                return match newest(models, Model::is_passed) {
                    Some(passed) => (personalizing(passed), Choice::Passed),
                    None => (Some(refreshed(models, current)), Choice::Kept),
                };
            }
        }
    }
    if let Some(passed) = newest(models, Model::is_passed) {
        return (personalizing(passed), Choice::Passed);
    }
    if let Some(unmeasured) = newest_of_spec(models, Model::is_unmeasured) {
        return (personalizing(unmeasured), Choice::Unmeasured);
    }
    match (personalized, newest(models, Model::is_unmeasured)) {
        (Some(current), _) => (Some(refreshed(models, current)), Choice::Kept),
        (None, Some(unmeasured)) => (personalizing(unmeasured), Choice::Unmeasured),
        (None, None) => popularity_only(models, current),
    }
}

/// The newest model that meets a condition.
fn newest<'a, 'm>(models: &'m [Model<'a>], is: fn(&Model<'a>) -> bool) -> Option<&'m Model<'a>> {
    models.iter().find(|model| is(model))
}

/// The newest model of the current spec that meets a condition.
fn newest_of_spec<'a, 'm>(models: &'m [Model<'a>], is: fn(&Model<'a>) -> bool) -> Option<&'m Model<'a>> {
    models.iter().find(|model| model.is_of_spec && is(model))
}

/// The newest model in serving mode `PopularityOnly`, for use while no model may serve.
fn popularity_only(models: &[Model<'_>], current: Option<&RevisionRef>) -> (Option<RevisionRef>, Choice) {
    let popular = models.first().and_then(|model| revision(model, ServingMode::PopularityOnly));
    match popular.or_else(|| current.cloned()) {
        Some(popular) => (Some(popular), Choice::PopularityOnly),
        None => (None, Choice::Nothing),
    }
}

/// The revision that serves if the desired one cannot be loaded: the one that served before it.
fn last_good(models: &[Model<'_>], desired: &RevisionRef, config: Option<&ServingConfig>) -> Option<RevisionRef> {
    let revisions = config.map(|config| config.revisions.as_slice()).unwrap_or_default();
    // The config lists the current revision first, then the previous one.
    // A revision with an unknown role may have passed no gate.
    let other = |revision: &&RevisionRef| revision.digest != desired.digest && revision.role.known().is_some();
    let before = revisions.iter().find(other).cloned();
    let older = || {
        let passing = models.iter().filter(|model| model.may_serve());
        passing.filter(|model| *model.digest != desired.digest).find_map(personalizing)
    };
    before.or_else(older).map(|revision| RevisionRef { role: RevisionRole::LastGood.into(), ..revision })
}

/// The revision that would serve without the pin, the manual promotion or `suspend`.
fn candidate(models: &[Model<'_>], desired: &Digest) -> Option<Digest> {
    let servable = newest_of_spec(models, Model::is_passed).or_else(|| newest_of_spec(models, Model::is_unmeasured));
    servable.map(|model| model.digest).filter(|digest| *digest != desired).cloned()
}

/// The revision that may serve but is not personalizing recommendations yet, if promotion is
/// manual.
fn awaits_promotion(plan: &Plan, models: &[Model<'_>], choice: Choice, candidate: Option<&Digest>) -> Option<Digest> {
    if plan.spec.promotion != Promotion::Manual || plan.spec.suspend || plan.pin().is_some() {
        return None;
    }
    if candidate.is_some() || choice != Choice::PopularityOnly {
        return candidate.cloned();
    }
    let newest = models.first()?;
    newest.may_serve().then(|| newest.digest.clone())
}

/// Why the promote annotation has no effect, if promotion is manual.
fn refused_promotion(plan: &Plan, models: &[Model<'_>], desired: Option<&RevisionRef>) -> Option<RefusedPromotion> {
    let requested = plan.promote.as_deref()?;
    let is_served = desired.is_some_and(|desired| {
        desired.serving_mode == ServingMode::Personalized && matches_revision(requested, &desired.digest)
    });
    if plan.spec.promotion != Promotion::Manual || plan.spec.suspend || plan.pin().is_some() || is_served {
        return None;
    }
    match models.iter().find(|model| matches_revision(requested, model.digest)) {
        Some(model) => (!model.may_serve()).then(|| RefusedPromotion::MayNotServe(Box::new(model.into()))),
        None => Some(RefusedPromotion::NotFound),
    }
}

/// The current model, which a run compares its own model with if the gate limits the regression.
pub(super) fn incumbent(plan: &Plan, models: &[Model<'_>], config: Option<&ServingConfig>) -> Option<Incumbent> {
    plan.spec.evaluation.gate.max_regression?;
    let current = config?.revision(RevisionRole::Desired)?;
    if current.serving_mode != ServingMode::Personalized {
        return None;
    }
    let RunOutcome::Trained { digest, parameters, snapshot_bytes, newest_row_micros, .. } =
        &find(models, &current.digest)?.result.outcome
    else {
        return None;
    };
    let snapshot =
        newest_row_micros.map(|micros| IncumbentSnapshot { bytes: *snapshot_bytes, newest_row_micros: micros });
    Some(Incumbent { digest: digest.clone(), algorithm: parameters.clone()?, snapshot })
}

/// The pod that loads the desired revision before all others. There is one only while the last good
/// revision can serve instead and no pod has loaded the desired revision. The choice does not
/// change while that pod runs. A pod that cannot be asked is not waited for without end.
pub(super) fn loads_first(
    serving: &Serving,
    before: Option<&ServingConfig>,
    running: &[&str],
    reports: &[(String, ModelReport)],
    now: i64,
) -> Option<LoadsFirst> {
    let desired = serving.desired.as_ref()?;
    let has_loaded =
        |report: &ModelReport| report.loaded.as_ref().is_some_and(|loaded| loaded.digest == desired.digest);
    if serving.last_good.is_none() || running.len() < 2 || reports.iter().any(|(_, report)| has_loaded(report)) {
        return None;
    }
    let before = before.filter(|config| {
        config.revision(RevisionRole::Desired).is_some_and(|current| current.digest == desired.digest)
    });
    if before.is_some_and(|config| config.loads_first.is_none()) {
        return None; // All pods may load it already.
    }
    let current = before.and_then(|config| config.loads_first.as_deref()).filter(|pod| running.contains(pod));
    let pod = current.or_else(|| running.iter().min().copied())?;
    let since = before.and_then(|config| config.loads_first_since).unwrap_or(now);
    let is_silent = !reports.iter().any(|(reporting, _)| reporting == pod);
    let has_waited = now.saturating_sub(since) >= LOADS_FIRST_SECONDS_MAX;
    (!(is_silent && has_waited)).then(|| LoadsFirst { pod: pod.to_owned(), since })
}

/// Whether a revision name from a user (the first ten digits, or all of them) matches a digest.
pub(super) fn matches_revision(name: &str, digest: &Digest) -> bool {
    !name.is_empty() && digest.as_str().starts_with(name)
}

fn find<'a, 'm>(models: &'m [Model<'a>], sought: &Digest) -> Option<&'m Model<'a>> {
    models.iter().find(|model| model.digest == sought)
}

/// The current revision, updated from its run result if that still exists.
fn refreshed(models: &[Model<'_>], current: &RevisionRef) -> RevisionRef {
    let renewed = find(models, &current.digest).and_then(|model| revision(model, current.serving_mode.clone()));
    renewed.unwrap_or_else(|| current.clone())
}

/// A model as a revision that personalizes.
fn personalizing(model: &Model<'_>) -> Option<RevisionRef> {
    revision(model, ServingMode::Personalized)
}

fn revision(model: &Model<'_>, serving_mode: impl Into<sidecar_contract::Open<ServingMode>>) -> Option<RevisionRef> {
    let RunOutcome::Trained { digest, snapshot_bytes, metrics, .. } = &model.result.outcome else { return None };
    let serving_mode = serving_mode.into();
    // Where only popularity serves, the metrics are not those of what serves.
    let metrics = metrics.clone().filter(|_| serving_mode == ServingMode::Personalized);
    Some(RevisionRef {
        digest: digest.clone(),
        snapshot_bytes: *snapshot_bytes,
        role: RevisionRole::Desired.into(),
        serving_mode,
        weight: 100,
        trained_at: model.result.finished_at,
        // Recent popularity, and the metrics by user activity and of cold-start items, are only for
        // the run report.
        metrics: metrics.map(|metrics| Metrics {
            recent_baseline: None,
            by_activity: Vec::new(),
            two_hop: None,
            cold_items: None,
            ..metrics
        }),
        catalogue: None,
    })
}

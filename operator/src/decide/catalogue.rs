//! Whether to make a catalogue now: for a revision that has none, at the interval, or on request;
//! and which catalogues the serving config announces.

use recommender_crds::RecommenderStatus;
use sidecar_contract::{
    CatalogueRef, CatalogueResult, CatalogueVersion, Digest, KnownCatalogue, RevisionRef, RevisionRole, ServingConfig,
};

use super::{
    Backoff, Serving,
    task::{TaskDecision, TaskDue, TaskFailures, task},
};
use crate::{
    names::Component,
    observed::{EndedCatalogues, JobState, Observed, TaskFacts},
    validate::{CataloguePlan, Plan},
};

/// Results that are read and retained, in addition to those of announced catalogues.
pub const CATALOGUES_RETAINED: usize = 20;
/// Finished Jobs that are retained for their logs; a short interval makes many.
const FINISHED_JOBS_RETAINED: usize = 3;

/// A catalogue to make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCatalogue {
    /// Second since 1970 of the decision.
    pub decided_at: i64,
    /// Its revision.
    pub revision: RevisionRef,
    /// The newest catalogue.
    pub known: Option<KnownCatalogue>,
    /// Hash of the table that is held.
    pub held: Option<String>,
    /// Hash of the held table that the user accepts.
    pub accepted: Option<String>,
}

/// What a pass knows and decides about catalogues.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    /// Whether to make one.
    pub decision: TaskDecision<NewCatalogue>,
    /// The newest catalogue of the desired revision.
    pub newest: Option<CatalogueResult>,
    /// The newer table that is held.
    pub held: Option<CatalogueResult>,
    /// Refreshes that failed since.
    pub failures: TaskFailures,
    /// Why the last of them failed; empty if it is not known.
    pub failure: String,
    /// Second since 1970 when the table was last found as it is in the newest catalogue.
    pub checked_at: Option<i64>,
    /// Value of the annotation that was handled.
    pub handled_request: String,
    /// Names of finished Jobs that are deleted.
    pub stale_jobs: Vec<String>,
}

/// Results and Jobs of the current spec.
struct History<'a> {
    results: Vec<&'a CatalogueResult>,
    tasks: Vec<&'a TaskFacts>,
}

impl<'a> History<'a> {
    fn of(wanted: &CataloguePlan, ended: &'a EndedCatalogues, tasks: &[&'a TaskFacts]) -> Self {
        let spec_hash = wanted.spec_hash.revision();
        Self {
            results: ended.newest.iter().filter(|result| result.spec_hash == wanted.spec_hash).collect(),
            tasks: tasks.iter().copied().filter(|task| task.spec_hash == spec_hash).collect(),
        }
    }

    /// The newest catalogue of a revision, or of any.
    fn newest(&self, revision: Option<&Digest>) -> Option<&'a CatalogueResult> {
        let is_of = |result: &&&CatalogueResult| revision.is_none_or(|revision| result.revision == *revision);
        self.results.iter().filter(is_of).find(|result| result.catalogue.is_some()).copied()
    }

    fn held(&self, since: i64) -> Option<&'a CatalogueResult> {
        self.results.iter().find(|result| result.held && result.id.decided_at > since).copied()
    }

    /// End and message of each failure since a second.
    fn failures(&self, since: i64) -> Vec<(i64, String)> {
        let of_results = self.results.iter().filter(|result| !result.failure.is_empty());
        let of_results = of_results.map(|result| (result.id.decided_at, result.finished_at, &result.failure));
        let has_result = |task: &TaskFacts| self.results.iter().any(|result| is_of_task(result, task));
        let of_tasks = self.tasks.iter().filter(|task| task.state == JobState::Failed && !has_result(task));
        let of_tasks = of_tasks.map(|task| (task.id.decided_at, task.finished_at, &task.message));
        let all = of_results.chain(of_tasks).filter(|(decided_at, ..)| *decided_at > since);
        all.map(|(_, end, message)| (end, message.clone())).collect()
    }
}

/// Whether a Job has committed a result.
pub fn is_of_task(result: &CatalogueResult, task: &TaskFacts) -> bool {
    result.id.decided_at == task.id.decided_at && result.revision.revision() == task.id.hash
}

/// Decides on catalogues of the desired revision.
pub(super) fn catalogue(
    plan: &Plan,
    observed: &Observed,
    serving: &Serving,
    before: &RecommenderStatus,
    backoff: Backoff,
    now: i64,
) -> Catalogue {
    let tasks: Vec<&TaskFacts> = observed.tasks.iter().filter(|task| task.component == Component::Catalogue).collect();
    let spec_hash = plan.catalogue.as_ref().map(|wanted| wanted.spec_hash.revision());
    let known = observed.catalogues.as_ref().ok();
    let history = plan.catalogue.as_ref().zip(known).map(|(wanted, ended)| History::of(wanted, ended, &tasks));
    let revision = serving.desired.as_ref();
    let newest = history.as_ref().zip(revision).and_then(|(history, of)| history.newest(Some(&of.digest)));
    let of_any = history.as_ref().and_then(|history| history.newest(None));
    let since = newest.map_or(i64::MIN, |newest| newest.id.decided_at);
    let held = history.as_ref().and_then(|history| history.held(since));
    let failed = history.as_ref().map(|history| history.failures(since)).unwrap_or_default();
    let failures = TaskFailures::of(failed.iter().map(|(end, _)| *end));
    let status = before.catalogue.clone().unwrap_or_default();
    let succeeded = || {
        let tasks = history.iter().flat_map(|history| &history.tasks);
        tasks.filter(|task| task.state == JobState::Succeeded)
    };
    let checks = newest.into_iter().chain(held).map(|result| result.id.decided_at);
    let checks = checks.chain(succeeded().map(|task| task.id.decided_at));
    let checked_at = checks.chain(status.checked_at.map(|time| time.0.as_second())).max();
    let request = plan.refresh_catalogue.as_deref();
    let is_handled = |value: &str| {
        status.last_handled_refresh == value || succeeded().any(|task| task.request == Some(request_hash(value)))
    };
    let accepted = held.filter(|held| plan.accept_catalogue.as_deref() == Some(held.id.to_string().as_str()));
    let due_of_desired = || match (&plan.catalogue, revision) {
        (Some(_), Some(_)) if history.is_none() => TaskDue::Never,
        (Some(wanted), Some(_)) => {
            // Equal hashes mean equal content.
            let is_newer =
                |any: &CatalogueResult| any.id.decided_at > since && newest.is_none_or(|of| of.id.hash != any.id.hash);
            let is_older = held.is_none() && of_any.is_some_and(is_newer);
            let is_missing = newest.is_none() && held.is_none();
            // A revision that is pinned meanwhile can serve only with a catalogue.
            if plan.spec.suspend && newest.is_some() {
                return TaskDue::Never;
            }
            if is_missing || is_older || accepted.is_some() || request.is_some_and(|value| !is_handled(value)) {
                return TaskDue::Now;
            }
            // A revision that waits for a table that is held serves as soon as the table is fixed.
            let of_held = newest.is_none().then_some(backoff.max);
            let interval = wanted.refresh.map(|interval| interval.as_secs()).or(of_held);
            match interval.and_then(|seconds| Some(checked_at? + i64::try_from(seconds).ok()?)) {
                Some(at) if at <= now => TaskDue::Now,
                Some(at) => TaskDue::At(at),
                None => TaskDue::Never,
            }
        }
        _ => TaskDue::Never,
    };
    let refreshed = history.as_ref().zip(newest).filter(|_| !plan.spec.suspend);
    let behind = refreshed.and_then(|(history, newest)| behind(history, newest, serving, observed));
    let due = || match due_of_desired() {
        TaskDue::At(_) | TaskDue::Never if behind.is_some() => TaskDue::Now,
        due => due,
    };
    let start = || {
        let is_of_desired = due_of_desired() == TaskDue::Now;
        let revision = if is_of_desired { revision } else { behind }?.clone();
        // The last good revision follows the desired one to any table.
        let followed = newest.filter(|_| !is_of_desired);
        let newest = history.as_ref().and_then(|history| history.newest(Some(&revision.digest)));
        // Versions sort by time, also if two are decided within a second.
        let last = known.into_iter().flat_map(|ended| &ended.newest).map(|result| result.id.decided_at).max();
        let counted = of_any.and_then(|any| Some((any, any.items.as_ref()?)));
        Some(NewCatalogue {
            decided_at: last.map_or(now, |last| now.max(last.saturating_add(1))),
            known: newest.and_then(|newest| Some((newest, newest.items.as_ref()?))).or(counted).map(
                |(result, items)| KnownCatalogue {
                    source: result.id.hash.clone(),
                    is_of_revision: result.revision == revision.digest,
                    items: items.items,
                    available: items.available,
                    missing: items.missing,
                },
            ),
            held: held.map(|held| held.id.hash.clone()),
            accepted: accepted.or(followed).map(|result| result.id.hash.clone()),
            revision,
        })
    };
    let decision = task(tasks.iter().copied(), spec_hash, due, failures, backoff, now, start);
    Catalogue {
        decision,
        newest: newest.cloned(),
        held: held.cloned(),
        failures,
        failure: failed.into_iter().max_by_key(|(end, _)| *end).map(|(_, message)| message).unwrap_or_default(),
        checked_at: plan.catalogue.as_ref().and(checked_at),
        handled_request: request
            .filter(|value| is_handled(value))
            .map_or(status.last_handled_refresh.clone(), str::to_owned),
        stale_jobs: stale_jobs(&tasks),
    }
}

/// The last good revision, if a pod serves it with a catalogue of an older table: while the desired
/// one is loaded, or if no pod can load it.
fn behind<'a>(
    history: &History<'_>,
    newest: &CatalogueResult,
    serving: &'a Serving,
    observed: &Observed,
) -> Option<&'a RevisionRef> {
    let last_good = serving.last_good.as_ref()?;
    let mut loaded = observed.reports.iter().filter_map(|(_, report)| report.loaded.as_ref());
    let is_older = |own: &CatalogueResult| own.id < newest.id && own.id.hash != newest.id.hash;
    let is_behind = history.newest(Some(&last_good.digest)).is_none_or(is_older);
    (is_behind && loaded.any(|loaded| loaded.digest == last_good.digest)).then_some(last_good)
}

/// Short hash of the value of the annotation, for a label.
pub fn request_hash(value: &str) -> String {
    Digest::of(value.as_bytes()).revision().to_owned()
}

fn stale_jobs(tasks: &[&TaskFacts]) -> Vec<String> {
    let mut finished: Vec<_> = tasks.iter().filter(|task| task.state != JobState::Running && !task.deleted).collect();
    finished.sort_by_key(|task| std::cmp::Reverse(task.id.decided_at));
    finished.iter().skip(FINISHED_JOBS_RETAINED).map(|task| task.name.clone()).collect()
}

impl Catalogue {
    /// The desired revision, if it waits for its first catalogue: no revision begins to serve
    /// without the availability of its items. One that serves already keeps serving.
    pub(super) fn awaited_by(&self, plan: &Plan, serving: &Serving, config: Option<&ServingConfig>) -> Option<Digest> {
        let current = config.and_then(|config| config.revision(RevisionRole::Desired));
        let next = &serving.desired.as_ref()?.digest;
        let begins = current.is_none_or(|current| current.digest != *next);
        (plan.catalogue.is_some() && begins && self.newest.is_none()).then(|| next.clone())
    }
}

impl Serving {
    /// The same revisions with their newest catalogues.
    pub(super) fn with_catalogues(mut self, plan: &Plan, observed: &Observed) -> Self {
        let ended = observed.catalogues.as_ref().map(|ended| ended.newest.as_slice()).unwrap_or_default();
        let before = observed.config.iter().flat_map(|config| &config.revisions);
        let before: Vec<&RevisionRef> = before.collect();
        let newest = |digest: &Digest| -> Option<CatalogueRef> {
            plan.catalogue.as_ref()?;
            let mut made = ended.iter().filter(|result| result.revision == *digest);
            let made = made.find_map(|result| result.catalogue.clone());
            // Its result may be unknown while the store is down.
            made.or_else(|| before.iter().find(|revision| revision.digest == *digest)?.catalogue.clone())
        };
        for revision in self.desired.iter_mut().chain(&mut self.last_good) {
            revision.catalogue = newest(&revision.digest);
        }
        self
    }
}

/// Catalogues that are deleted: old ones that no config announces.
pub(super) fn garbage(observed: &Observed, serving: &Serving) -> Vec<(CatalogueVersion, Digest)> {
    let Ok(ended) = &observed.catalogues else { return Vec::new() };
    let announced = serving.desired.iter().chain(&serving.last_good);
    let announced = announced.chain(observed.config.iter().flat_map(|config| &config.revisions));
    let announced: Vec<&CatalogueRef> = announced.filter_map(|revision| revision.catalogue.as_ref()).collect();
    let is_announced = |(version, revision): &&(CatalogueVersion, Digest)| {
        let key = sidecar_contract::KeyLayout::relative_catalogue(version, revision);
        announced.iter().any(|catalogue| catalogue.key == key)
    };
    ended.older.iter().filter(|key| !is_announced(key)).cloned().collect()
}

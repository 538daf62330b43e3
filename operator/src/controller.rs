//! Triggers reconciles: watches Recommenders and their children, limits concurrency, requeues after
//! errors. Starts the watch of pods that ask for a sidecar and have none.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, join, join_all},
    stream::{self, BoxStream},
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    core::{ApiResource, NamespaceResourceScope},
    runtime::{
        Controller, PredicateConfig, WatchStreamExt as _,
        controller::{Action, Config},
        reflector::{self, ObjectRef, Store},
        watcher::{self, watcher},
    },
};
use tokio::sync::{broadcast::error::RecvError, mpsc};

use crate::{
    api_client::{for_each_object, paged_watch},
    child_kind::ChildKind,
    context::Context,
    error::{Error, chain},
    fair_limiter::{FairLimiter, RecommenderKey, training_slot_seconds},
    missed_pods,
    names::{Component, RECOMMENDER_LABEL, component_label},
    observed::{controller, has_ended},
    received::{Meta, ReceivedJob, ReceivedRecommender},
    reconcile::reconcile,
    requeue, rest,
    store_scope::StoreScope,
    validate::composition::parts_of,
    versions::Source,
    watch_pauses::with_pauses,
};

/// Changes within this interval trigger one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Maximum number of changed Recommenders whose compositions are not looked up yet.
const CHANGED_PARTS_MAX: usize = 10_000;

/// Runs until `stop` resolves: one controller for the whole cluster, or one per watched namespace.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let named = &context.installation.settings.watch_namespaces;
    let scopes: Vec<Option<String>> =
        if named.is_empty() { vec![None] } else { named.iter().cloned().map(Some).collect() };
    let (controllers, stores): (Vec<_>, Vec<_>) = scopes
        .iter()
        .map(|scope| {
            let (controller, store, changed) = recommenders(&context, scope.as_deref());
            ((controller, changed), store)
        })
        .unzip();
    // Before the first pass: a footprint is known only if all watches have listed.
    let children: Vec<_> = scopes.iter().map(|scope| children(&context, scope.as_deref())).collect();
    if let Err(error) = count_running(&context, &scopes).await {
        tracing::warn!(
            error = chain(&error),
            "cannot count the running Jobs; each is counted at the next reconcile of its Recommender"
        );
    }
    let stop = stop.shared();
    let runs = controllers.into_iter().zip(children).zip(&scopes).map(|(((controller, changed), children), scope)| {
        let scope = scope.as_deref();
        // Passes are not limited, only their requests: a pass that waits for its store delays no
        // other one.
        let config = Config::default().concurrency(0).debounce(DEBOUNCE);
        controller
            .with_config(config)
            .reconcile_on(children)
            .reconcile_on(granted_slots(&context, scope))
            .reconcile_on(changed)
            .graceful_shutdown_on(stop.clone())
            .run(reconcile_guarded, error_policy, Arc::clone(&context))
            .for_each(|outcome| {
                drop_deleted(&context, &scopes, &stores);
                if let Err(error) = outcome {
                    tracing::debug!(error = chain(&error), "the controller reported an error");
                }
                std::future::ready(())
            })
    });
    let mut missed: Vec<BoxFuture<'static, ()>> = Vec::new();
    for scope in &scopes {
        let (watch, stopped) = (missed_pods::watch(Arc::clone(&context), scope.clone()), stop.clone());
        missed.push(Box::pin(async move {
            tokio::select! {
                () = watch => {}
                () = stopped => {}
            }
        }));
    }
    join(join_all(runs), join_all(missed)).await;
}

/// The watch of Recommenders, which triggers a pass if more than the status has changed, and the
/// compositions of which one has changed, or was deleted.
fn recommenders(
    context: &Context,
    scope: Option<&str>,
) -> (Controller<ReceivedRecommender>, Store<ReceivedRecommender>, BoxStream<'static, ObjectRef<ReceivedRecommender>>) {
    let (reader, writer) = reflector::store();
    let (sender, parts) = mpsc::channel(CHANGED_PARTS_MAX);
    let changed = with_pauses(watcher(api::<ReceivedRecommender>(context, scope), paged_watch()))
        .modify(ReceivedRecommender::reduce)
        .reflect(writer)
        .inspect(move |event| {
            if let Some(part) = changed_part(event) {
                // A full queue only delays a composition until its next regular pass.
                let _ = sender.try_send(part);
            }
        })
        .applied_objects()
        // Here, so that the failure of one watch delays no other.
        .filter_map(|object| std::future::ready(logged(object, "Recommender").map(Ok)))
        .predicate_filter(|guarded: &ReceivedRecommender| Some(trigger(guarded)), PredicateConfig::default());
    let of_parts = compositions_of(parts, reader.clone());
    (Controller::for_stream(changed, reader.clone()), reader, of_parts)
}

/// Namespace and name of a Recommender that was applied or deleted. Those of the first list are not
/// changes.
fn changed_part(event: &watcher::Result<watcher::Event<ReceivedRecommender>>) -> Option<(String, String)> {
    match event {
        Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => {
            Some((object.namespace().unwrap_or_default(), object.name_any()))
        }
        _ => None,
    }
}

/// The compositions that name these Recommenders, also by other compositions.
fn compositions_of(
    parts: mpsc::Receiver<(String, String)>,
    recommenders: Store<ReceivedRecommender>,
) -> BoxStream<'static, ObjectRef<ReceivedRecommender>> {
    let parts = stream::unfold(parts, |mut parts| async { parts.recv().await.map(|part| (part, parts)) });
    parts
        .flat_map(move |(namespace, part)| {
            let all = recommenders.state();
            let named: Vec<(String, Vec<String>)> = all
                .iter()
                .filter(|object| object.namespace().as_deref() == Some(namespace.as_str()))
                .filter_map(|object| Some((object.name_any(), parts_of(object.0.as_ref().ok()?))))
                .filter(|(_, parts)| !parts.is_empty())
                .collect();
            let found = naming(&named, &part).into_iter();
            stream::iter(found.map(|name| ObjectRef::new(&name).within(&namespace)).collect::<Vec<_>>())
        })
        .boxed()
}

/// Names of the compositions that name a part, also by other compositions.
fn naming(compositions: &[(String, Vec<String>)], part: &str) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![part.to_owned()]);
    while let Some(name) = open.pop() {
        for (composition, _) in compositions.iter().filter(|(_, parts)| parts.contains(&name)) {
            if found.insert(composition.clone()) {
                open.push(composition.clone());
            }
        }
    }
    found
}

/// Hash of what triggers a pass when it changes.
fn trigger(guarded: &ReceivedRecommender) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &guarded.0 {
        Ok(recommender) => rest::facts(recommender).as_str().hash(&mut hasher),
        Err(_) => guarded.resource_version().hash(&mut hasher),
    }
    hasher.finish()
}

/// The Recommenders whose children or pods change. Only metadata is watched, and Secrets are not:
/// the right to list them would be the right to read all Secrets.
fn children(context: &Arc<Context>, scope: Option<&str>) -> BoxStream<'static, ObjectRef<ReceivedRecommender>> {
    let kinds = ChildKind::ALL.into_iter().filter(|kind| *kind != ChildKind::Secret).map(ChildKind::api_resource);
    let watches = kinds.chain([ApiResource::erase::<Pod>(&())]).map(|resource| {
        let source = Source { kind: resource.kind.clone(), namespace: scope.map(str::to_owned) };
        context.versions.add_watch(&source);
        let client = context.client.clone();
        let api: Api<Meta> = match scope {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let context = Arc::clone(context);
        with_pauses(watcher(api, paged_watch().labels(RECOMMENDER_LABEL)))
            .flat_map(move |event| {
                let event = logged(event, &source.kind);
                stream::iter(event.map(|event| context.versions.apply(&source, &event)).unwrap_or_default())
            })
            .boxed()
    });
    let changed = stream::select_all(watches);
    changed.map(|(namespace, name)| ObjectRef::new(&name).within(&namespace)).boxed()
}

/// What a watch delivered; a failure is logged. The watch starts again after a pause.
fn logged<T>(delivered: watcher::Result<T>, kind: &str) -> Option<T> {
    delivered.inspect_err(|error| tracing::warn!(kind, error = chain(error), "a watch failed")).ok()
}

/// API of one namespace, or of all.
fn api<K>(context: &Context, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let client = context.client.clone();
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// Recommenders that were queued for a Job and now have a slot.
fn granted_slots(
    context: &Context,
    scope: Option<&str>,
) -> impl Stream<Item = ObjectRef<ReceivedRecommender>> + Send + 'static {
    let limiters = [&context.slots.trainings, &context.slots.batches, &context.slots.catalogues];
    stream::select_all(limiters.map(|limiter| granted_slots_of(limiter, scope).boxed()))
}

fn granted_slots_of(
    limiter: &FairLimiter,
    scope: Option<&str>,
) -> impl Stream<Item = ObjectRef<ReceivedRecommender>> + Send + use<> {
    let scope = scope.map(str::to_owned);
    let grants = stream::unfold(limiter.grants(), |mut grants| async {
        loop {
            match grants.recv().await {
                Ok(key) => return Some((key, grants)),
                // A queued Recommender polls, so that a missed grant only delays it.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let in_scope = move |key: &RecommenderKey| scope.as_ref().is_none_or(|scope| *scope == key.namespace);
    grants
        .filter(move |key| std::future::ready(in_scope(key)))
        .map(|key| ObjectRef::new(&key.name).within(&key.namespace))
}

/// Records the running Jobs, so that a restarted operator does not exceed the limits.
///
/// # Errors
/// Fails if the API request fails.
async fn count_running(context: &Context, scopes: &[Option<String>]) -> Result<(), Error> {
    let slots = &context.slots;
    let kinds = [
        (Component::Trainer, &slots.trainings),
        (Component::Batch, &slots.batches),
        (Component::Catalogue, &slots.catalogues),
    ];
    for scope in scopes {
        for (component, slots) in kinds {
            let labels = format!("{RECOMMENDER_LABEL},{}", component_label(component));
            let selected = ListParams::default().labels(&labels);
            let jobs = api::<ReceivedJob>(context, scope.as_deref());
            let list = for_each_object(&jobs, selected, "cannot list Jobs", |job| {
                if !has_ended(&job) {
                    record_running(slots, &job);
                }
                Ok(())
            });
            list.await?;
        }
    }
    Ok(())
}

fn record_running(slots: &FairLimiter, job: &ReceivedJob) {
    let (Some(owner), Some(namespace)) = (controller(job.owner_references()), job.namespace()) else { return };
    let key = RecommenderKey { uid: owner.uid.clone(), namespace, name: owner.name.clone() };
    let deadline = job.spec.active_deadline_seconds.unwrap_or(0);
    let slot_seconds = training_slot_seconds(u64::try_from(deadline).unwrap_or(0));
    slots.record_running(&key, Timestamp::now().as_second(), slot_seconds);
}

/// Drops cached state, slots and metric series of deleted Recommenders. `stores` are those of the
/// scopes.
fn drop_deleted(context: &Context, scopes: &[Option<String>], stores: &[Store<ReceivedRecommender>]) {
    let existing = Existing::of(scopes, stores);
    context
        .slots
        .retain(&|key| existing.may_have(&key.namespace, &key.name, Some(&key.uid)), Timestamp::now().as_second());
    context.metrics.retain(&|(namespace, name)| existing.may_have(namespace, name, None));
    if !existing.unlisted.is_empty() {
        // Their uids and stores are not known.
        return;
    }
    let uids: BTreeSet<String> = existing.objects.iter().filter_map(|object| object.meta().uid.clone()).collect();
    context.cache.retain(&|uid| uids.contains(uid));
    context.store_gate.retain(|| {
        let recommenders = existing.objects.iter().filter_map(|object| object.0.as_ref().ok());
        recommenders.map(|recommender| StoreScope::of(recommender).key()).collect()
    });
}

/// The Recommenders that exist. Before a watch has completed its first list, which one of a namespace
/// without rights never does, those of its scope would count as deleted, with the Jobs that run for
/// them.
struct Existing<'a> {
    objects: Vec<Arc<ReceivedRecommender>>,
    /// Uids by namespace and name.
    uids: BTreeMap<(String, String), Option<String>>,
    /// Scopes without a complete list.
    unlisted: Vec<Option<&'a str>>,
}

impl<'a> Existing<'a> {
    fn of(scopes: &'a [Option<String>], stores: &[Store<ReceivedRecommender>]) -> Self {
        let has_listed = |store: &Store<ReceivedRecommender>| store.wait_until_ready().now_or_never().is_some();
        let unlisted = scopes.iter().zip(stores).filter(|(_, store)| !has_listed(store));
        let objects: Vec<_> = stores.iter().flat_map(Store::state).collect();
        let key = |object: &Arc<ReceivedRecommender>| {
            ((object.namespace().unwrap_or_default(), object.name_any()), object.uid())
        };
        Self {
            uids: objects.iter().map(key).collect(),
            unlisted: unlisted.map(|(scope, _)| scope.as_deref()).collect(),
            objects,
        }
    }

    /// Whether a Recommender exists, with this uid, or is of a scope without a complete list.
    fn may_have(&self, namespace: &str, name: &str, uid: Option<&str>) -> bool {
        let found = self.uids.get(&(namespace.to_owned(), name.to_owned()));
        let is_same = found.is_some_and(|found| uid.is_none() || found.as_deref() == uid);
        is_same || self.unlisted.iter().any(|scope| scope.is_none_or(|scope| scope == namespace))
    }
}

async fn reconcile_guarded(guarded: Arc<ReceivedRecommender>, context: Arc<Context>) -> Result<Action, Error> {
    let begin = std::time::Instant::now();
    let (namespace, name) = (guarded.namespace().unwrap_or_default(), guarded.name_any());
    let result = match &guarded.0 {
        // Boxed because the future is large.
        Ok(recommender) => Box::pin(reconcile(recommender, &context)).await,
        Err(error) => {
            // A malformed object, for example one stored under another CRD version, must not stop
            // the others.
            tracing::error!(namespace, name, error = %error.problem, "cannot use a Recommender; fix or delete it");
            Ok(Action::await_change())
        }
    };
    context.cache.record_pass(&guarded.uid().unwrap_or_default(), result.is_err());
    context.metrics.observe_reconcile(result.as_ref().err().map(Error::reason), begin.elapsed());
    if let Err(error) = &result {
        tracing::warn!(namespace, name, reason = error.reason(), error = chain(error), "reconcile failed");
    }
    result
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of the controller")]
fn error_policy(object: Arc<ReceivedRecommender>, error: &Error, context: Arc<Context>) -> Action {
    requeue::after_error(error, context.cache.failures(&object.uid().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recommenders_of_a_scope_without_a_list_may_exist() {
        let object = json!({"metadata": {"name": "movies", "namespace": "shop", "uid": "u"}});
        let movies = || serde_json::from_value(object.clone()).unwrap();
        let ((shop, mut shop_writer), (other, mut other_writer)) = (reflector::store(), reflector::store());
        let scopes = [Some("shop".to_owned()), Some("other".to_owned())];
        let stores: [Store<ReceivedRecommender>; 2] = [shop, other];
        // One that exists, one that does not, one of a deleted namesake, and one of the other scope.
        let may_have = |scopes: &[_], stores: &[_]| {
            let existing = Existing::of(scopes, stores);
            let of = |namespace: &str, name: &str, uid| existing.may_have(namespace, name, uid);
            [
                of("shop", "movies", Some("u")),
                of("shop", "x", None),
                of("shop", "movies", Some("v")),
                of("other", "x", None),
            ]
        };
        for event in [watcher::Event::Init, watcher::Event::InitApply(movies()), watcher::Event::InitDone] {
            assert_eq!(may_have(&scopes, &stores), [true; 4]);
            shop_writer.apply_watcher_event(&event);
        }
        assert_eq!(may_have(&scopes, &stores), [true, false, false, true], "the other watch has not listed");
        assert_eq!(may_have(&[None], &stores[1..]), [true; 4], "all namespaces");
        other_writer.apply_watcher_event(&watcher::Event::Init);
        other_writer.apply_watcher_event(&watcher::Event::InitDone);
        assert_eq!(may_have(&scopes, &stores), [true, false, false, false]);
        // The watch lists again.
        shop_writer.apply_watcher_event(&watcher::Event::Init);
        assert_eq!(may_have(&scopes, &stores), [true, false, false, false]);
    }

    #[test]
    fn a_changed_part_is_that_of_all_compositions_that_are_made_of_it() {
        let composition = |name: &str, parts: &[&str]| {
            (name.to_owned(), parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>())
        };
        let compositions = [
            composition("home", &["films", "a"]),
            composition("a", &["books", "b"]),
            composition("b", &["games", "a"]),
            composition("other", &["films"]),
        ];
        let names = |part: &str| naming(&compositions, part).into_iter().collect::<Vec<_>>();
        assert_eq!(names("games"), ["a", "b", "home"]);
        assert_eq!(names("films"), ["home", "other"]);
        assert!(names("home").is_empty());
    }
}

//! Wakes reconciles up: watches Recommenders and what belongs to them, bounds concurrency, backs off after errors.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, future::join_all, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service},
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use recommender_crds::Recommender;
use tokio::sync::broadcast::error::RecvError;

use crate::{
    context::Context,
    error::{Error, chain},
    names::{Component, RECOMMENDER_LABEL, component_label},
    observe::has_ended,
    reconcile::reconcile,
    trainings::Who,
};

/// Changes that come together are one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Pause after an error.
const ERROR_PAUSE: Duration = Duration::from_secs(5);

type Guarded = DeserializeGuard<Recommender>;

/// Runs until `stop` resolves: one controller over the whole cluster, or one for each namespace of the settings.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let named = &context.settings.watch_namespaces;
    let scopes: Vec<Option<String>> =
        if named.is_empty() { vec![None] } else { named.iter().cloned().map(Some).collect() };
    let controllers: Vec<_> = scopes
        .iter()
        .map(|scope| Controller::new(api::<Guarded>(&context, scope.as_deref()), watcher::Config::default()))
        .collect();
    let stores: Vec<_> = controllers.iter().map(Controller::store).collect();
    if let Err(error) = count_running(&context, &scopes).await {
        tracing::warn!(error = chain(&error), "the runs under way are not known yet; each Recommender counts its own");
    }
    let stop = stop.shared();
    let runs = controllers.into_iter().zip(&scopes).map(|(controller, scope)| {
        let scope = scope.as_deref();
        let labelled = watcher::Config::default().labels(RECOMMENDER_LABEL);
        let config = Config::default().concurrency(context.settings.concurrency).debounce(DEBOUNCE);
        controller
            .with_config(config)
            .owns(api::<Job>(&context, scope), labelled.clone())
            .owns(api::<Deployment>(&context, scope), labelled.clone())
            .owns(api::<ConfigMap>(&context, scope), labelled.clone())
            .owns(api::<Service>(&context, scope), labelled.clone())
            .watches(api::<Pod>(&context, scope), labelled, |pod| owner_of(&pod))
            .reconcile_on(turns(&context, scope))
            .graceful_shutdown_on(stop.clone())
            .run(step, error_policy, Arc::clone(&context))
            .for_each(|outcome| {
                forget_the_deleted(&context, &stores);
                if let Err(error) = outcome {
                    tracing::debug!(error = chain(&error), "the queue reports");
                }
                std::future::ready(())
            })
    });
    join_all(runs).await;
}

/// Objects of one namespace, or of all.
fn api<K>(context: &Context, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let client = context.client.clone();
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// Recommenders that waited for a place to train, as their turn comes.
fn turns(context: &Context, scope: Option<&str>) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let scope = scope.map(str::to_owned);
    let wakes = stream::unfold(context.trainings.wakes(), |mut wakes| async {
        loop {
            match wakes.recv().await {
                Ok(who) => return Some((who, wakes)),
                // Who was missed looks again by itself.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let mine = move |who: &Who| scope.as_ref().is_none_or(|scope| *scope == who.namespace);
    wakes.filter(move |who| std::future::ready(mine(who))).map(|who| ObjectRef::new(&who.name).within(&who.namespace))
}

/// Counts the runs that are under way, so that a new operator does not start as many again.
///
/// # Errors
/// The API server.
async fn count_running(context: &Context, scopes: &[Option<String>]) -> Result<(), Error> {
    let trainers =
        ListParams::default().labels(&format!("{RECOMMENDER_LABEL},{}", component_label(Component::Trainer)));
    for scope in scopes {
        let jobs = api::<Job>(context, scope.as_deref()).list(&trainers).await;
        for job in jobs.map_err(Error::api("cannot list Jobs"))?.items.iter().filter(|job| !has_ended(job)) {
            let owner = job.owner_references().iter().find(|owner| owner.controller == Some(true));
            let (Some(owner), Some(namespace)) = (owner, job.namespace()) else { continue };
            let who = Who { uid: owner.uid.clone(), namespace, name: owner.name.clone() };
            let deadline = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).unwrap_or(0);
            context.trainings.occupy(&who, Timestamp::now().as_second(), u64::try_from(deadline).unwrap_or(0));
        }
    }
    Ok(())
}

/// Memory and series of deleted Recommenders go.
fn forget_the_deleted(context: &Context, stores: &[Store<Guarded>]) {
    let there: Vec<_> = stores.iter().flat_map(Store::state).collect();
    let uids: BTreeSet<String> = there.iter().filter_map(|object| object.meta().uid.clone()).collect();
    context.forget_all_but(&|uid| uids.contains(uid));
    context.trainings.keep_only(&|uid| uids.contains(uid), Timestamp::now().as_second());
    let names: BTreeSet<(String, String)> =
        there.iter().map(|object| (object.namespace().unwrap_or_default(), object.name_any())).collect();
    context.metrics.keep_only(&names);
}

fn owner_of(pod: &Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get(RECOMMENDER_LABEL)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

async fn step(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    // One bound for all controllers; the semaphore is never closed.
    let _slot = context.slots.acquire().await;
    let begin = std::time::Instant::now();
    let (namespace, name) = (guarded.namespace().unwrap_or_default(), guarded.name_any());
    let result = match &guarded.0 {
        // On the heap: its steps hold much over their awaits.
        Ok(recommender) => Box::pin(reconcile(recommender, &context)).await,
        Err(error) => {
            // One malformed object (stored under another CRD) must not stop the rest.
            tracing::error!(namespace, name, error = %error.error, "a Recommender cannot be read; fix or delete it");
            Ok(Action::await_change())
        }
    };
    context.metrics.observe_reconcile(result.as_ref().err().map(Error::reason), begin.elapsed());
    if let Err(error) = &result {
        tracing::warn!(namespace, name, reason = error.reason(), error = chain(error), "a reconcile failed");
    }
    result
}

fn error_policy(_object: Arc<Guarded>, _error: &Error, _context: Arc<Context>) -> Action {
    Action::requeue(ERROR_PAUSE)
}

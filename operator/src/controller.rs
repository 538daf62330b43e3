//! Wakes reconciles up: watches Recommenders and what belongs to them, bounds concurrency, backs off after errors.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use recommender_crds::Recommender;

use crate::{
    context::Context,
    error::{Error, chain},
    names::RECOMMENDER_LABEL,
    reconcile::reconcile,
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

/// Memory and series of deleted Recommenders go.
fn forget_the_deleted(context: &Context, stores: &[Store<Guarded>]) {
    let there: Vec<_> = stores.iter().flat_map(Store::state).collect();
    let uids: BTreeSet<String> = there.iter().filter_map(|object| object.meta().uid.clone()).collect();
    context.forget_all_but(&|uid| uids.contains(uid));
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
        Ok(recommender) => reconcile(recommender, &context).await,
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

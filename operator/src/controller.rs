//! Wakes reconciles up: watches Recommenders and what belongs to them, bounds concurrency, backs off after errors.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::ObjectRef,
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

/// Runs until `stop` resolves.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = context.client.clone();
    let labelled = watcher::Config::default().labels(RECOMMENDER_LABEL);
    let recommenders: Api<Guarded> = Api::all(client.clone());
    let config = Config::default().concurrency(context.settings.concurrency).debounce(DEBOUNCE);
    let controller = Controller::new(recommenders, watcher::Config::default());
    let store = controller.store();
    controller
        .with_config(config)
        .owns(Api::<Job>::all(client.clone()), labelled.clone())
        .owns(Api::<Deployment>::all(client.clone()), labelled.clone())
        .owns(Api::<ConfigMap>::all(client.clone()), labelled.clone())
        .owns(Api::<Service>::all(client.clone()), labelled.clone())
        .watches(Api::<Pod>::all(client), labelled, |pod| owner_of(&pod))
        .graceful_shutdown_on(stop)
        .run(step, error_policy, Arc::clone(&context))
        .for_each(|outcome| {
            // Memory and series of deleted Recommenders go.
            let uids: std::collections::BTreeSet<String> =
                store.state().iter().filter_map(|object| object.meta().uid.clone()).collect();
            context.forget_all_but(&|uid| uids.contains(uid));
            let names: std::collections::BTreeSet<(String, String)> = store
                .state()
                .iter()
                .map(|object| (object.namespace().unwrap_or_default(), object.name_any()))
                .collect();
            context.metrics.keep_only(&names);
            if let Err(error) = outcome {
                tracing::debug!(error = chain(&error), "the queue reports");
            }
            std::future::ready(())
        })
        .await;
}

fn owner_of(pod: &Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get(RECOMMENDER_LABEL)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

async fn step(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
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

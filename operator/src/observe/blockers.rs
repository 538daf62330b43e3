//! Why Jobs have no pods and pods do not start, where only Events state it: the API server rejects
//! the pods of a Job, or a volume does not mount. They are read only for such objects. IO.

use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};

use super::Subject;
use crate::{
    context::Context,
    error::Error,
    names::Component,
    observed::{
        JobFacts, PodFacts, PodProblem,
        pod_problem::{advice, blocked, field},
    },
};

/// Seconds after which an object that does not progress is looked up: longer than a normal start.
const PATIENCE_SECONDS: i64 = 15;
/// Maximum Events that are read of one object.
const EVENTS_MAX: u32 = 20;
/// Maximum objects that are looked up in one pass.
const OBJECTS_MAX: usize = 4;

/// Adds the problems of running Jobs without pods, and of pods that do not start.
///
/// # Errors
/// Fails if an API request fails for a reason other than missing permission.
pub async fn add(
    context: &Context,
    subject: &Subject<'_>,
    jobs: &mut [JobFacts],
    pods: &mut [PodFacts],
    now: i64,
) -> Result<(), Error> {
    let is_late = |created_at: i64| now.saturating_sub(created_at) >= PATIENCE_SECONDS;
    let waiting = jobs.iter_mut().filter(|job| job.is_without_pod(pods) && is_late(job.created_at));
    for job in waiting.take(OBJECTS_MAX) {
        let field = field(Some(Component::Trainer));
        job.problem = warning(context, subject, &job.uid).await?.map(|why| format!("{why}; {}", advice(&why, field)));
    }
    let waiting = pods.iter_mut().filter(|pod| pod.is_starting() && is_late(pod.created_at));
    for pod in waiting.take(OBJECTS_MAX) {
        let component = pod.component;
        pod.problem = warning(context, subject, &pod.uid).await?.map(|why| PodProblem {
            reason: blocked(component),
            message: format!("pod {}: {why}; {}", pod.name, advice(&why, field(component))),
        });
    }
    Ok(())
}

/// The newest warning about an object.
async fn warning(context: &Context, subject: &Subject<'_>, uid: &str) -> Result<Option<String>, Error> {
    let api: Api<Event> = Api::namespaced(context.client.clone(), subject.namespace);
    let selected = format!("involvedObject.uid={uid},type=Warning");
    match api.list(&ListParams::default().fields(&selected).limit(EVENTS_MAX)).await {
        Ok(events) => Ok(events.items.into_iter().max_by_key(at).and_then(|event| event.message)),
        // The installation may not grant it.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(Error::api(format!("cannot list Events of {}/{}", subject.namespace, subject.name))(error)),
    }
}

/// Second since 1970 when an Event occurred last.
fn at(event: &Event) -> i64 {
    let last = event.last_timestamp.as_ref().map(|time| time.0.as_second());
    last.or_else(|| event.event_time.as_ref().map(|time| time.0.as_second())).unwrap_or(0)
}

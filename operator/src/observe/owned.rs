//! Jobs, ReplicaSets and pods of a Recommender. Any client can give any number of objects its label,
//! and each can be as large as the API server allows. They are listed one page after the other, and
//! of each page only facts about the Recommender's own objects are kept. IO.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{Api, ResourceExt, api::ListParams, core::ApiResource};

use super::Subject;
use crate::{
    api_client::for_each_object,
    context::Context,
    error::Error,
    names::RECOMMENDER_LABEL,
    observed::{JobFacts, PodFacts, PodOwners, TaskFacts, controlled_by},
    received::{Meta, ReceivedJob, ReceivedPod},
};

/// Maximum objects of one kind with the label of a Recommender: five times the largest number of
/// serving pods. A pass keeps about 1 KiB of each that it owns, and holds a turn while it reads them.
const LABELLED_MAX: usize = 5000;

/// The Jobs of a Recommender.
#[derive(Debug, Default)]
pub struct OwnedJobs {
    /// Uids of all.
    pub uids: BTreeSet<String>,
    /// Training Jobs.
    pub jobs: Vec<JobFacts>,
    /// Short Jobs.
    pub tasks: Vec<TaskFacts>,
}

/// Reads the Jobs.
///
/// # Errors
/// Fails if an API request fails, or if there are more than [`LABELLED_MAX`].
pub async fn jobs(context: &Context, subject: &Subject<'_>) -> Result<OwnedJobs, Error> {
    let api: Api<ReceivedJob> = Api::namespaced(context.client.clone(), subject.namespace);
    let (mut owned, mut read) = (OwnedJobs::default(), 0);
    let list = for_each_object(&api, children_of(subject), "cannot list Jobs", |job| {
        if controlled_by(job.owner_references(), subject.uid) {
            owned.uids.extend(job.uid());
            owned.jobs.extend(JobFacts::of(&job));
            owned.tasks.extend(TaskFacts::of(&job));
        }
        within_limit(&mut read, "Jobs", subject)
    });
    list.await?;
    Ok(owned)
}

/// Reads the pods of the Jobs, and those of the Deployment through its ReplicaSets.
///
/// # Errors
/// Fails if an API request fails, or if there are more than [`LABELLED_MAX`].
pub async fn pods(
    context: &Context,
    subject: &Subject<'_>,
    jobs: &OwnedJobs,
    deployment: Option<&Deployment>,
) -> Result<Vec<PodFacts>, Error> {
    let mut owners = PodOwners { uids: jobs.uids.clone(), named_after: None };
    if let Some(deployment) = deployment {
        match replica_sets(context, subject, &deployment.uid().unwrap_or_default()).await? {
            Some(uids) => owners.uids.extend(uids),
            None => owners.named_after = Some(deployment.name_any()),
        }
    }
    let api: Api<ReceivedPod> = Api::namespaced(context.client.clone(), subject.namespace);
    let (mut owned, mut read) = (Vec::new(), 0);
    let list = for_each_object(&api, children_of(subject), "cannot list Pods", |pod| {
        owned.extend(owners.own(&pod).then(|| PodFacts::of(&pod)));
        within_limit(&mut read, "Pods", subject)
    });
    list.await?;
    Ok(owned)
}

/// Uids of the ReplicaSets of a Deployment; `None` if the rights of an older chart do not include
/// them.
async fn replica_sets(
    context: &Context,
    subject: &Subject<'_>,
    deployment_uid: &str,
) -> Result<Option<BTreeSet<String>>, Error> {
    let resource = ApiResource::erase::<ReplicaSet>(&());
    let api: Api<Meta> = Api::namespaced_with(context.client.clone(), subject.namespace, &resource);
    let (mut owned, mut read) = (BTreeSet::new(), 0);
    let list = for_each_object(&api, children_of(subject), "cannot list ReplicaSets", |set| {
        owned.extend(set.uid().filter(|_| controlled_by(set.owner_references(), deployment_uid)));
        within_limit(&mut read, "ReplicaSets", subject)
    });
    match list.await {
        Ok(()) => Ok(Some(owned)),
        Err(Error::Api { source: kube::Error::Api(status), .. }) if status.code == 403 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts an object that was read.
fn within_limit(read: &mut usize, kind: &'static str, subject: &Subject<'_>) -> Result<(), Error> {
    let Subject { namespace, name, .. } = subject;
    *read += 1;
    let too_many = || Error::TooMany { kind, name: format!("{namespace}/{name}"), max: LABELLED_MAX };
    if *read > LABELLED_MAX { Err(too_many()) } else { Ok(()) }
}

fn children_of(subject: &Subject<'_>) -> ListParams {
    ListParams::default().labels(&format!("{RECOMMENDER_LABEL}={}", subject.name))
}

//! Objects as the operator receives them from the API server: only the fields that something
//! reads. The others are skipped while a response is parsed, because any client that may write an
//! object decides how many there are and what they contain: one object must neither take much
//! memory nor make a list of all namespaces fail. Pure.

mod job;
mod metadata;
mod pod;
mod recommender;

pub use self::{
    job::{JobCondition, ReceivedJob},
    metadata::{Meta, metadata},
    pod::{ContainerState, ContainerStatus, PodCondition, ReceivedPod, Terminated, Waiting},
    recommender::{InvalidObject, ReceivedRecommender},
};

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use kube::{
        Resource,
        core::{ObjectList, WatchEvent},
    };
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;
    use crate::identity::{PodCertificateRequest, live_pod::LivePod};

    /// Parses an object with times that no parser of dates accepts as a page of a list, and as an
    /// event of a watch.
    fn check<K: Resource + DeserializeOwned + Clone + Debug>() {
        let time = "9999-12-31T23:59:59Z";
        let running =
            json!({"name": "a", "state": {"terminated": {"exitCode": 1, "startedAt": time, "finishedAt": time}}});
        let object = json!({
            "apiVersion": "v1", "kind": "A",
            "metadata": {"name": "odd", "namespace": "shop", "managedFields": [{"manager": "other", "time": time}]},
            "spec": {
                "signerName": "a", "podName": "a", "podUID": "a", "serviceAccountName": "a", "nodeName": "a",
                "data": {"source": {"url": "s3://x/y.csv"}}, "template": {"metadata": {"creationTimestamp": null}},
            },
            "status": {"startTime": time, "containerStatuses": [running]},
        });
        let page = json!({"metadata": {"resourceVersion": "7"}, "items": [object, object]}).to_string();
        let page: ObjectList<K> = serde_json::from_str(&page).unwrap();
        let event = json!({"type": "ADDED", "object": object}).to_string();
        let WatchEvent::Added(added) = serde_json::from_str(&event).unwrap() else { panic!("{event}") };
        let names: Vec<Option<&str>> = page.items.iter().chain([&added]).map(|k| k.meta().name.as_deref()).collect();
        assert_eq!(names, [Some("odd"); 3]);
    }

    #[test]
    fn no_time_that_another_client_wrote_makes_a_page_or_an_event_fail() {
        check::<Meta>();
        check::<ReceivedJob>();
        check::<ReceivedPod>();
        check::<ReceivedRecommender>();
        check::<LivePod>();
        check::<PodCertificateRequest>();
        let entry = json!({"manager": "other", "time": "9999-12-31T23:59:59Z"});
        let metadata = json!({"name": "odd", "managedFields": [entry]});
        serde_json::from_value::<kube::api::ObjectMeta>(metadata).expect_err("the reason for all this");
    }
}

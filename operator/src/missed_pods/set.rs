//! The pods without a sidecar, by the object that controls them. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{ResourceExt as _, runtime::watcher::Event};

use crate::{observed, received::Meta};

/// Pods in memory, at most 400 bytes each. The metric counts no more.
const PODS_MAX: usize = 10_000;
/// Controllers in memory, each with at most one explanation in progress. Pods of others are not
/// counted.
const OWNERS_MAX: usize = 1_000;
/// Label of pods whose reason is not known yet.
const UNKNOWN: &str = "unknown";

/// Number of pods by namespace and reason.
pub type Counts = BTreeMap<(String, &'static str), usize>;

/// Namespace and name of a pod.
type PodName = (String, String);

/// The object that controls a pod; the pod itself if none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Group and version.
    pub api_version: String,
    /// Name of the kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// The first pod of an owner, by which the reason is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedPod {
    /// Namespace of the pod and its owner.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// What controls it.
    pub owner: Owner,
}

/// Pods without a sidecar.
#[derive(Debug, Default)]
pub struct MissedPods {
    /// UID of the owner of each pod.
    pods: BTreeMap<PodName, String>,
    owners: HashMap<String, Group>,
    /// Pods of the list in progress.
    listed: BTreeSet<PodName>,
    /// Whether pods were left out because of the limits, which is logged once.
    is_full: bool,
}

/// Pods of one owner.
#[derive(Debug)]
struct Group {
    namespace: String,
    pods: usize,
    state: Explanation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Explanation {
    InProgress,
    Found(&'static str),
    /// The next event of a pod starts another one.
    Failed,
}

impl MissedPods {
    /// Applies an event of the watch. Returns the pod to explain, if its owner has no explanation.
    pub fn apply(&mut self, event: &Event<Meta>) -> Option<MissedPod> {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                let found = self.insert(pod);
                // Within the limits, as the pods are.
                if self.pods.contains_key(&name(pod)) {
                    self.listed.insert(name(pod));
                }
                return found;
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<PodName> = self.pods.keys().filter(|pod| !listed.contains(*pod)).cloned().collect();
                for pod in gone {
                    self.remove(&pod);
                }
            }
            Event::Apply(pod) => return self.insert(pod),
            Event::Delete(pod) => self.remove(&name(pod)),
        }
        None
    }

    /// Records the reason of an owner's pods; `None` if it was not found.
    pub fn explained(&mut self, uid: &str, reason: Option<&'static str>) {
        if let Some(group) = self.owners.get_mut(uid) {
            group.state = reason.map_or(Explanation::Failed, Explanation::Found);
        }
    }

    /// Number of pods by namespace and reason.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for group in self.owners.values() {
            let reason = if let Explanation::Found(reason) = group.state { reason } else { UNKNOWN };
            *counts.entry((group.namespace.clone(), reason)).or_default() += group.pods;
        }
        counts
    }

    fn insert(&mut self, pod: &Meta) -> Option<MissedPod> {
        let key = name(pod);
        let owner = controller(pod).or_else(|| itself(pod))?;
        if self.pods.get(&key).is_some_and(|uid| *uid != owner.uid) {
            // Another pod of the same name, whose predecessor's end was missed.
            self.remove(&key);
        }
        if !self.pods.contains_key(&key) {
            let is_full =
                self.pods.len() >= PODS_MAX || self.owners.len() >= OWNERS_MAX && !self.owners.contains_key(&owner.uid);
            if is_full {
                if !self.is_full {
                    tracing::warn!(PODS_MAX, OWNERS_MAX, "more pods without a sidecar than are counted and explained");
                }
                self.is_full = true;
                return None;
            }
            self.pods.insert(key.clone(), owner.uid.clone());
            let new = || Group { namespace: key.0.clone(), pods: 0, state: Explanation::Failed };
            self.owners.entry(owner.uid.clone()).or_insert_with(new).pods += 1;
        }
        let group = self.owners.get_mut(&owner.uid)?;
        let is_due = group.state == Explanation::Failed;
        is_due.then(|| {
            group.state = Explanation::InProgress;
            MissedPod { namespace: key.0, name: key.1, owner }
        })
    }

    fn remove(&mut self, pod: &PodName) {
        let Some(uid) = self.pods.remove(pod) else { return };
        self.is_full = false;
        let Some(group) = self.owners.get_mut(&uid) else { return };
        group.pods -= 1;
        if group.pods == 0 {
            self.owners.remove(&uid);
        }
    }
}

fn name(pod: &Meta) -> PodName {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// What controls an object.
pub fn controller(object: &Meta) -> Option<Owner> {
    let OwnerReference { api_version, kind, name, uid, .. } = observed::controller(object.owner_references())?.clone();
    Some(Owner { api_version, kind, name, uid })
}

fn itself(pod: &Meta) -> Option<Owner> {
    let uid = pod.uid()?;
    Some(Owner { api_version: "v1".to_owned(), kind: "Pod".to_owned(), name: pod.name_any(), uid })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: Option<&str>) -> Meta {
        let owners = owner.map(|owner| {
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}])
        });
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": owners},
        }))
        .unwrap()
    }

    fn counts(missed: &MissedPods) -> Vec<(&'static str, usize)> {
        let counts = missed.counts().into_iter();
        counts.map(|((_, reason), count)| (reason, count)).collect()
    }

    #[test]
    fn the_pods_of_an_owner_are_explained_once_and_counted_until_they_are_gone() {
        let mut missed = MissedPods::default();
        let found = missed.apply(&Event::Apply(pod("a", Some("web")))).unwrap();
        assert_eq!((found.name.as_str(), found.owner.name.as_str()), ("a", "web"));
        assert_eq!(missed.apply(&Event::Apply(pod("b", Some("web")))), None, "the explanation is in progress");
        assert_eq!(counts(&missed), [("unknown", 2)]);
        missed.explained("web", Some("no_policy"));
        assert_eq!(missed.apply(&Event::Apply(pod("a", Some("web")))), None);
        assert_eq!(counts(&missed), [("no_policy", 2)]);
        let alone = missed.apply(&Event::Apply(pod("alone", None))).unwrap();
        assert_eq!((alone.owner.kind.as_str(), alone.owner.uid.as_str()), ("Pod", "uid-alone"));
        for name in ["a", "alone", "b", "b"] {
            missed.apply(&Event::Delete(pod(name, None)));
        }
        assert_eq!((counts(&missed), missed.pods.len(), missed.owners.len()), (vec![], 0, 0));
        missed.explained("web", Some("no_policy"));
        assert!(missed.apply(&Event::Apply(pod("a", Some("web")))).is_some(), "an owner that came back");
    }

    #[test]
    fn a_failed_explanation_is_repeated_with_the_next_event() {
        let mut missed = MissedPods::default();
        assert!(missed.apply(&Event::Apply(pod("a", Some("web")))).is_some());
        missed.explained("web", None);
        assert_eq!(counts(&missed), [("unknown", 1)]);
        assert!(missed.apply(&Event::Apply(pod("a", Some("web")))).is_some());
    }

    #[test]
    fn pods_that_disappeared_without_an_event_leave_with_the_next_list() {
        let mut missed = MissedPods::default();
        for name in ["a", "b", "c"] {
            missed.apply(&Event::Apply(pod(name, Some("web"))));
        }
        missed.apply(&Event::Init);
        // One of them has another owner now.
        missed.apply(&Event::InitApply(pod("a", Some("web"))));
        assert!(missed.apply(&Event::InitApply(pod("b", Some("api")))).is_some());
        missed.apply(&Event::InitDone);
        assert_eq!(counts(&missed), [("unknown", 2)]);
        assert_eq!(missed.pods.len(), 2);
        missed.apply(&Event::Init);
        missed.apply(&Event::InitDone);
        assert_eq!((counts(&missed), missed.owners.len()), (vec![], 0));
    }

    #[test]
    fn memory_is_bounded_and_free_again_when_pods_are_gone() {
        let mut missed = MissedPods::default();
        let name = |index: usize| format!("pod-{index}");
        for index in 0..=OWNERS_MAX {
            let found = missed.apply(&Event::InitApply(pod(&name(index), None)));
            assert_eq!(found.is_some(), index < OWNERS_MAX, "{index}");
        }
        for index in 0..PODS_MAX {
            missed.apply(&Event::InitApply(pod(&format!("more-{index}"), Some("uid-pod-0"))));
        }
        assert_eq!((missed.pods.len(), missed.owners.len(), missed.listed.len()), (PODS_MAX, OWNERS_MAX, PODS_MAX));
        missed.apply(&Event::Delete(pod(&name(1), None)));
        assert!(missed.apply(&Event::Apply(pod(&name(OWNERS_MAX), None))).is_some());
    }
}

//! Which pods have the anchors of a rotation: serving pods report it about themselves, and about the
//! callers that stated it on their connections. Pure.
//!
//! Anybody who may create pods can create one with the labels of a serving pod. Its report counts
//! for itself, and for the pods whose labels say that they call its Recommender.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
};

use sidecar_contract::{AnchorsReport, Digest};

use super::live_pod::{LivePod, RecommenderRef};

/// A pod that starts later than this after the publication is not waited for: its kubelet had the
/// published anchors by then, or it could not have read the pod either.
const NEW_POD_SECONDS: i64 = 120;
/// Pods that a text names; it states the number of the others.
const NAMED_PODS_MAX: usize = 20;

/// The report of a serving pod, with the time of its arrival in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Address of the serving pod.
    pub address: IpAddr,
    /// What it reports.
    pub report: AnchorsReport,
    /// When it arrived.
    pub at: i64,
}

/// What the pods of a rotation have confirmed since its anchors were published. It grows with each
/// report, so that a pass need not reach all serving pods.
#[derive(Debug)]
pub struct Confirmations {
    anchors: Digest,
    /// When they were published, in seconds since 1970.
    since: i64,
    /// Uids of the pods that have confirmed.
    confirmed: BTreeSet<String>,
    /// Number of serving pods that were asked.
    asked: usize,
}

/// Pods by their address, which pods of the host's network share.
#[derive(Debug)]
pub struct PodsByAddress<'a>(BTreeMap<IpAddr, Vec<&'a LivePod>>);

impl<'a> PodsByAddress<'a> {
    /// Of these pods.
    pub fn new(pods: &'a [LivePod]) -> Self {
        let mut by_address: BTreeMap<IpAddr, Vec<&LivePod>> = BTreeMap::new();
        for pod in pods {
            if let Some(address) = pod.status.address() {
                by_address.entry(address).or_default().push(pod);
            }
        }
        Self(by_address)
    }

    fn at(&self, address: &IpAddr) -> impl Iterator<Item = &'a LivePod> + '_ {
        self.0.get(address).into_iter().flatten().copied()
    }
}

impl Confirmations {
    /// Of anchors that were published at `since`; nothing is confirmed yet.
    pub fn new(anchors: Digest, since: i64) -> Self {
        Self { anchors, since, confirmed: BTreeSet::new(), asked: 0 }
    }

    /// Whether they are of these anchors and of this publication.
    pub fn are_of(&self, anchors: &Digest, since: i64) -> bool {
        (&self.anchors, self.since) == (anchors, since)
    }

    /// Puts the pods to ask in an order that begins after those that were asked.
    pub fn order<T>(&self, pods: &mut [T]) {
        if !pods.is_empty() {
            pods.rotate_left(self.asked % pods.len());
        }
    }

    /// Counts serving pods that were asked.
    pub fn add_asked(&mut self, pods: usize) {
        self.asked = self.asked.wrapping_add(pods);
    }

    /// Adds a report, whose addresses are those of these pods.
    pub fn add(&mut self, pods: &PodsByAddress<'_>, arrived: &Arrived) {
        let Arrived { address, report, at } = arrived;
        let own = report.anchors.as_ref() == Some(&self.anchors);
        self.confirmed.extend(pods.at(address).filter(|_| own).filter_map(|pod| pod.metadata.uid.clone()));
        let served: BTreeSet<RecommenderRef> = pods.at(address).filter_map(LivePod::serves).collect();
        for caller in &report.callers {
            let seen_at = at.saturating_sub(i64::try_from(caller.seconds_ago).unwrap_or(i64::MAX));
            // Before the publication nobody can have both anchors; an address may have belonged to
            // another pod then.
            if caller.anchors == self.anchors && seen_at >= self.since {
                let calls = |pod: &&LivePod| pod.calls().is_some_and(|called| served.contains(&called));
                let uids = pods.at(&caller.address).filter(calls).filter_map(|pod| pod.metadata.uid.clone());
                self.confirmed.extend(uids);
            }
        }
    }

    /// Pods that have not confirmed, as `namespace/name`. Forgets those that no longer exist.
    pub fn missing(&mut self, pods: &[LivePod], signer: &str) -> BTreeSet<String> {
        let uids: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        self.confirmed.retain(|uid| uids.contains(uid.as_str()));
        let is_waited_for = |pod: &&LivePod| {
            let is_new = pod.status.start_time().is_some_and(|start| start > self.since + NEW_POD_SECONDS);
            pod.asks(signer) && pod.status.phase == "Running" && !is_new
        };
        let has_confirmed = |pod: &LivePod| pod.metadata.uid.as_ref().is_some_and(|uid| self.confirmed.contains(uid));
        pods.iter().filter(is_waited_for).filter(|pod| !has_confirmed(pod)).map(name).collect()
    }
}

fn name(pod: &LivePod) -> String {
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", of(&pod.metadata.namespace), of(&pod.metadata.name))
}

/// The number of these pods and the names of the first ones; `None` for none.
pub fn describe(pods: &BTreeSet<String>) -> Option<String> {
    let named = pods.iter().take(NAMED_PODS_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut text = format!("{}: {named}", pods.len());
    let others = pods.len().saturating_sub(NAMED_PODS_MAX);
    if others > 0 {
        let _ = write!(text, " and {others} others");
    }
    (!pods.is_empty()).then_some(text)
}

//! Which pods have the anchors of a rotation: serving pods report it about themselves, and about the
//! callers that stated it on their connections. Pure.

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr};

use sidecar_contract::{AnchorsReport, Digest};

use super::live_pod::LivePod;

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

/// Pods that have not confirmed the anchors that were published at `since`, as `namespace/name`;
/// `confirmed` are the addresses of those that have.
pub fn unconfirmed(pods: &[LivePod], confirmed: &BTreeSet<IpAddr>, signer: &str, since: i64) -> BTreeSet<String> {
    let is_waited_for = |pod: &&LivePod| {
        let is_new = pod.status.start_time().is_some_and(|start| start > since + NEW_POD_SECONDS);
        pod.asks(signer) && pod.status.phase == "Running" && !is_new
    };
    let has_confirmed = |pod: &LivePod| pod.status.address().is_some_and(|address| confirmed.contains(&address));
    pods.iter().filter(is_waited_for).filter(|pod| !has_confirmed(pod)).map(name).collect()
}

/// Addresses of the pods that had these anchors after their publication, according to a report.
pub fn confirmed_by<'a>(arrived: &'a Arrived, anchors: &'a Digest, since: i64) -> impl Iterator<Item = IpAddr> + 'a {
    let own = arrived.report.anchors.as_ref().filter(|own| *own == anchors).map(|_| arrived.address);
    let callers = arrived.report.callers.iter().filter(move |caller| {
        let at = arrived.at.saturating_sub(i64::try_from(caller.seconds_ago).unwrap_or(i64::MAX));
        // Before the publication nobody can have both anchors; an address may have belonged to
        // another pod then.
        caller.anchors == *anchors && at >= since
    });
    own.into_iter().chain(callers.map(|caller| caller.address))
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

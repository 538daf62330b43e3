//! Reads which pods have the anchors of a rotation, from pods and from the admin ports of serving
//! pods.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, api::ListParams};
use sidecar_contract::{AnchorsReport, paths};

use super::Signer;
use crate::{
    api_client::for_each_object,
    error::Error,
    identity::{
        authority::Authority,
        confirmation::{Arrived, Confirmations, PodsByAddress},
        live_pod::LivePod,
    },
    names::{Component, INJECTED_LABEL, RECOMMENDER_LABEL, component_label},
    pod_report,
};

/// Time after which no further serving pods are asked in a pass.
const REPORTS_DEADLINE: Duration = Duration::from_secs(15);
/// Max bytes of a report: that of the max number of callers has about half of it.
const REPORT_BYTES_MAX: usize = 1 << 20;
/// Maximum concurrent requests.
const CONCURRENT_REQUESTS_MAX: usize = 16;

/// Pods that have not confirmed the anchors that were published at `since`.
///
/// # Errors
/// Fails if the pods cannot be listed.
pub async fn missing(signer: &Signer, authority: &Authority, since: i64) -> Result<BTreeSet<String>, Error> {
    let Signer { client, settings, http, .. } = signer;
    let serving = format!("{RECOMMENDER_LABEL},{}", component_label(Component::Serving));
    let mut pods = list(client, &settings.watched, &serving).await?;
    let to_ask = pods.iter().filter(|pod| pod.asks(&settings.name)).filter_map(|pod| pod.status.address());
    let mut to_ask: Vec<IpAddr> = to_ask.collect();
    pods.extend(list(client, &settings.watched, INJECTED_LABEL).await?);
    let anchors = authority.anchors_digest();
    let mut confirmations = signer
        .take_confirmations()
        .filter(|confirmations| confirmations.are_of(&anchors, since))
        .unwrap_or_else(|| Confirmations::new(anchors, since));
    confirmations.order(&mut to_ask);
    let asked = AtomicUsize::new(0);
    let mut reports = pin!(
        stream::iter(to_ask)
            .map(|address| {
                asked.fetch_add(1, Ordering::Relaxed);
                read(http, address)
            })
            .buffer_unordered(CONCURRENT_REQUESTS_MAX)
            .take_until(tokio::time::sleep(REPORTS_DEADLINE))
            .filter_map(std::future::ready)
    );
    // One report at a time: each may be as long as the maximum.
    let by_address = PodsByAddress::new(&pods);
    while let Some(arrived) = reports.next().await {
        confirmations.add(&by_address, &arrived);
    }
    confirmations.add_asked(asked.load(Ordering::Relaxed));
    let missing = confirmations.missing(&pods, &settings.name);
    signer.keep_confirmations(confirmations);
    Ok(missing)
}

/// The pods with a label in these namespaces; in all, if none is named.
async fn list(client: &Client, namespaces: &[String], selector: &str) -> Result<Vec<LivePod>, Error> {
    let apis: Vec<Api<LivePod>> = if namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
    };
    let mut pods = Vec::new();
    for api in apis {
        let selected = ListParams::default().labels(selector);
        let list = for_each_object(&api, selected, "cannot list the pods with certificates", |pod| {
            pods.push(pod);
            Ok(())
        });
        list.await?;
    }
    Ok(pods)
}

/// The report of a serving pod, if there is a valid one.
async fn read(http: &reqwest::Client, address: IpAddr) -> Option<Arrived> {
    let report: AnchorsReport = pod_report::read(http, &address.to_string(), paths::ANCHORS, REPORT_BYTES_MAX).await?;
    Some(Arrived { address, report, at: Timestamp::now().as_second() })
}

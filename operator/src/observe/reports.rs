//! What the serving pods say of themselves, from their admin ports.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use sidecar_contract::{ModelReport, paths, ports};

use crate::{context::Context, names::Component, observe::PodFacts};

/// A pod that does not answer within this is asked again at the next reconcile.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pods asked at once.
const ASKED_AT_ONCE: usize = 8;

/// Reports of the running serving pods, by pod name; pods that do not answer are left out.
pub async fn read(context: &Context, pods: &[PodFacts]) -> Vec<(String, ModelReport)> {
    let asked: Vec<(String, String)> = pods
        .iter()
        .filter(|pod| pod.component == Some(Component::Serving) && pod.running)
        .filter_map(|pod| Some((pod.name.clone(), pod.ip.clone()?)))
        .collect();
    let mut reports: Vec<(String, ModelReport)> = stream::iter(asked)
        .map(|(name, ip)| async move {
            // An IPv6 address stands in brackets in a URL.
            let host = if ip.contains(':') { format!("[{ip}]") } else { ip };
            let url = format!("http://{host}:{}{}", ports::ADMIN, paths::MODEL);
            let answer = context.http.get(url).timeout(REPORT_TIMEOUT).send().await.ok()?;
            Some((name, answer.json::<ModelReport>().await.ok()?))
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    reports.sort_by(|x, y| x.0.cmp(&y.0));
    reports
}

//! Reports of the serving pods, from their admin ports.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use sidecar_contract::{ModelReport, paths};

use crate::{
    context::Context,
    observed::{PodFacts, running_serving_pods},
    pod_report,
};

/// Time after which no further pods are asked, so that many pods that do not respond do not delay
/// the pass.
const REPORTS_DEADLINE: Duration = Duration::from_secs(5);
/// Max bytes of a report. One with the longest messages has a few KiB.
const REPORT_BYTES_MAX: usize = 64 * 1024;
/// Maximum concurrent requests.
const CONCURRENT_REQUESTS_MAX: usize = 8;

/// Reads the reports of the running serving pods, sorted by pod name. Pods that do not respond are
/// omitted.
pub async fn read(context: &Context, pods: &[PodFacts]) -> Vec<(String, ModelReport)> {
    let targets: Vec<(String, String)> =
        running_serving_pods(pods).filter_map(|pod| Some((pod.name.clone(), pod.ip.clone()?))).collect();
    let mut reports: Vec<(String, ModelReport)> = stream::iter(targets)
        .map(|(name, ip)| async move {
            Some((name, pod_report::read(&context.http, &ip, paths::MODEL, REPORT_BYTES_MAX).await?))
        })
        .buffer_unordered(CONCURRENT_REQUESTS_MAX)
        .take_until(tokio::time::sleep(REPORTS_DEADLINE))
        .filter_map(std::future::ready)
        .collect()
        .await;
    reports.sort_by(|x, y| x.0.cmp(&y.0));
    reports
}

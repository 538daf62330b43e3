//! Reports of the serving pods, from their admin ports.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::StatusCode;
use sidecar_contract::{ModelReport, paths, ports};

use crate::{
    context::Context,
    observed::{PodFacts, running_serving_pods},
};

/// Timeout of a request, until its response is complete. The next reconcile retries.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
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
            // A URL needs brackets around an IPv6 address.
            let host = if ip.contains(':') { format!("[{ip}]") } else { ip };
            let url = format!("http://{host}:{}{}", ports::ADMIN, paths::MODEL);
            Some((name, read_one(context, &url).await?))
        })
        .buffer_unordered(CONCURRENT_REQUESTS_MAX)
        .take_until(tokio::time::sleep(REPORTS_DEADLINE))
        .filter_map(std::future::ready)
        .collect()
        .await;
    reports.sort_by(|x, y| x.0.cmp(&y.0));
    reports
}

/// The report at a URL, if there is a valid one.
async fn read_one(context: &Context, url: &str) -> Option<ModelReport> {
    let mut response = context.http.get(url).timeout(REPORT_TIMEOUT).send().await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > REPORT_BYTES_MAX {
            tracing::warn!(url, bytes_max = REPORT_BYTES_MAX, "the report of a pod is too large");
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

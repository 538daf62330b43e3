//! Reports of the serving pods, from their admin ports.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use sidecar_contract::{ModelReport, paths, ports};

use crate::{
    context::Context,
    observed::{PodFacts, running_serving_pods},
};

/// Timeout of a request. The next reconcile retries.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
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
            let response = context.http.get(url).timeout(REPORT_TIMEOUT).send().await.ok()?;
            Some((name, response.json::<ModelReport>().await.ok()?))
        })
        .buffer_unordered(CONCURRENT_REQUESTS_MAX)
        .filter_map(std::future::ready)
        .collect()
        .await;
    reports.sort_by(|x, y| x.0.cmp(&y.0));
    reports
}

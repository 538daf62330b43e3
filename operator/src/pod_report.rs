//! Reads a report from the admin port of a serving pod.

use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;
use sidecar_contract::ports;

/// Timeout of a request, until its response is complete. The next pass reads the report again.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The report at a path of the pod with this address, if there is a valid one of at most
/// `bytes_max` bytes.
pub async fn read<T: DeserializeOwned>(
    http: &reqwest::Client,
    address: &str,
    path: &str,
    bytes_max: usize,
) -> Option<T> {
    // A URL needs brackets around an IPv6 address.
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let url = format!("http://{host}:{}{path}", ports::ADMIN);
    let mut response = http.get(&url).timeout(TIMEOUT).send().await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > bytes_max {
            tracing::warn!(url, bytes_max, "the report of a pod is too large");
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

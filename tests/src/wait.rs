//! Polls until the cluster has reached a state.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Maximum wait. It only ends a test that hangs; no test passes or fails by its timing.
pub const TIMEOUT: Duration = Duration::from_mins(15);
/// Interval between two polls.
pub const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Returns `--timeout=` with [`TIMEOUT`], for kubectl and helm.
pub fn timeout_argument() -> String {
    format!("--timeout={}s", TIMEOUT.as_secs())
}

/// Retries `probe` until it succeeds. After [`TIMEOUT`] it returns an error with the last failure.
pub async fn until<T>(what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    until_async(what, async || probe()).await
}

/// [`until`] for an asynchronous probe.
pub async fn until_async<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if begin.elapsed() > TIMEOUT => bail!("timed out waiting until {what}: {error:#}"),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

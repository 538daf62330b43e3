//! Waiting for what a cluster does in its own time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longest wait for anything; it ends a hanging test and decides none.
pub const PATIENCE: Duration = Duration::from_mins(3);
const PAUSE: Duration = Duration::from_millis(300);

/// Tries until `probe` succeeds; after [`PATIENCE`] the last error says what was missing.
pub async fn until<T>(what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if begin.elapsed() > PATIENCE => bail!("gave up waiting until {what}: {error:#}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// [`until`] for a probe that waits itself.
pub async fn until_async<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if begin.elapsed() > PATIENCE => bail!("gave up waiting until {what}: {error:#}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

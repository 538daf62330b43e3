//! A term as the leader: runs the controller until the process is asked to stop, the lease is lost,
//! or the controller ends by itself. Every way out ends the process, within a stated time.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::leader::Candidate;

/// How long the controller may finish its passes after SIGTERM. With [`RELEASE_DEADLINE`], a third
/// of the time after which Kubernetes kills a pod by default.
pub const STOP_DEADLINE: Duration = Duration::from_secs(8);
/// How long aborted passes may take to end.
const ABORT_DEADLINE: Duration = Duration::from_secs(1);
/// How long the release of the lease may take. Without it, another candidate waits for the lease to
/// expire.
pub const RELEASE_DEADLINE: Duration = Duration::from_secs(2);

/// Runs `controller` until `terminate` completes, and then releases the lease of the `candidate`.
/// The future that `controller` receives completes when it must end.
///
/// # Errors
/// Fails if the lease is lost, or if the controller ends or panics before. The process must exit.
pub async fn run<C>(
    candidate: Option<Candidate>,
    terminate: impl Future<Output = ()>,
    controller: impl FnOnce(oneshot::Receiver<()>) -> C,
) -> Result<()>
where
    C: Future<Output = ()> + Send + 'static,
{
    let (stop, stopped) = oneshot::channel();
    let mut running = tokio::spawn(controller(stopped));
    let lease_lost = async {
        match &candidate {
            Some(candidate) => candidate.renew_until_lost().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        () = lease_lost => {
            // Another operator may be the leader: no pass may continue.
            abort(running).await;
            bail!("the lease was lost: another operator may be the leader, so this process exits");
        }
        ended = &mut running => {
            release(candidate.as_ref()).await;
            return Err(match ended {
                Ok(()) => anyhow!("the controller ended, so this process exits"),
                Err(error) => anyhow!(error).context("the controller panicked, so this process exits"),
            });
        }
    }
    tracing::info!("stopping");
    // The controller may have ended meanwhile.
    let _ = stop.send(());
    if timeout(STOP_DEADLINE, &mut running).await.is_err() {
        tracing::warn!(seconds = STOP_DEADLINE.as_secs(), "passes are still running; they are aborted");
        abort(running).await;
    }
    release(candidate.as_ref()).await;
    Ok(())
}

/// Aborts the controller with its passes, and waits until they have ended, but not for one that
/// does not yield.
async fn abort(running: JoinHandle<()>) {
    running.abort();
    let _ = timeout(ABORT_DEADLINE, running).await;
}

async fn release(candidate: Option<&Candidate>) {
    let Some(candidate) = candidate else { return };
    match timeout(RELEASE_DEADLINE, candidate.release()).await {
        Ok(Ok(())) => tracing::info!("lease released"),
        Ok(Err(error)) => tracing::warn!(%error, "cannot release the lease; it expires"),
        Err(_) => tracing::warn!("cannot release the lease in time; it expires"),
    }
}

//! An attempt to open a connection, in a task of its own: the request that starts it may have less
//! time than a handshake takes, and the next one continues to wait for the same attempt.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{ConnectError, open::Open};
use crate::{limits::CONNECT_TIMEOUT, transport::Transport};

/// An attempt that goes on or has ended. Dropping it ends its task.
#[derive(Debug)]
pub struct Attempt {
    outcome: watch::Receiver<Option<Result<Open, Failed>>>,
    _task: JoinSet<()>,
}

/// An attempt that failed.
#[derive(Clone, Debug)]
struct Failed {
    at: Instant,
    /// Why; the first request that takes it reports it.
    error: Arc<Mutex<Option<ConnectError>>>,
}

/// How an attempt ends.
#[derive(Debug)]
pub struct Outcome(watch::Receiver<Option<Result<Open, Failed>>>);

impl Attempt {
    /// Begins to connect.
    pub fn start(address: SocketAddr, transport: Transport) -> Self {
        let (sender, outcome) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let opened = timeout(CONNECT_TIMEOUT, Open::connect(address, &transport)).await;
            let opened = opened.unwrap_or(Err(ConnectError::TimedOut));
            let failed = |error| Failed { at: Instant::now(), error: Arc::new(Mutex::new(Some(error))) };
            sender.send_replace(Some(opened.map_err(failed)));
        });
        Self { outcome, _task: task }
    }

    /// Whether a request can use what it results in. A failure for which no request had the time to
    /// wait is that of the next one, unless it is old: it counts against the pod.
    pub fn is_usable(&self, now: Instant) -> bool {
        match &*self.outcome.borrow() {
            // Without its sender the task has panicked.
            None => self.outcome.has_changed().is_ok(),
            Some(Ok(open)) => open.is_usable(now),
            Some(Err(failed)) => now.saturating_duration_since(failed.at) < CONNECT_TIMEOUT,
        }
    }

    /// How it ends.
    pub fn outcome(&self) -> Outcome {
        Outcome(self.outcome.clone())
    }
}

impl Outcome {
    /// Waits for the end of the attempt.
    pub async fn wait(mut self) -> Result<Open, ConnectError> {
        let ended = self.0.wait_for(Option::is_some).await.map_err(|_| ConnectError::Ended)?;
        match ended.as_ref() {
            Some(Ok(open)) => Ok(open.clone()),
            Some(Err(failed)) => {
                let mut error = failed.error.lock().unwrap_or_else(PoisonError::into_inner);
                Err(error.take().unwrap_or(ConnectError::Shared))
            }
            None => Err(ConnectError::Ended),
        }
    }
}

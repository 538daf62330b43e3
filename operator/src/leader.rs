//! Leader election: the holder of a Lease is the leader. A process that loses the lease exits. A
//! leader gives up before another candidate may acquire the lease. A short overlap, which clocks
//! that differ can cause, is harmless, because leaders apply the results of pure functions and
//! create objects with deterministic names.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::names::LEASE;

/// A lease that was not renewed for this long may be acquired by another candidate.
const LEASE_SECONDS: i32 = 15;
/// Interval of renewals, and of attempts to acquire the lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// A leader that could not renew the lease for this long gives up. The rest of [`LEASE_SECONDS`] is
/// for clocks that differ, and for the exit of the process.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline of one attempt, so that a second one fits into [`RENEW_DEADLINE`].
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(4);

/// A candidate for leadership.
#[derive(Clone)]
pub struct Candidate {
    leases: Api<Lease>,
    identity: String,
}

impl Candidate {
    /// Creates a candidate whose identity is the name of its pod.
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity: identity.to_owned() }
    }

    /// Waits until this process holds the lease.
    pub async fn acquire(&self) {
        let mut logged = false;
        loop {
            match timeout(ATTEMPT_DEADLINE, self.try_acquire()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) if !logged => {
                    tracing::info!("another operator is the leader; standing by");
                    logged = true;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot acquire the lease"),
                Err(_) => tracing::warn!("cannot acquire the lease: the API server does not answer"),
            }
            tokio::time::sleep(RENEW_INTERVAL).await;
        }
    }

    /// Renews the lease; returns when it is lost.
    pub async fn renew_until_lost(&self) {
        // When the last successful renewal was sent: others count from then.
        let mut renewed = Instant::now();
        loop {
            let lost_at = renewed + RENEW_DEADLINE;
            sleep_until(lost_at.min(Instant::now() + RENEW_INTERVAL)).await;
            let sent = Instant::now();
            match timeout_at(lost_at.min(sent + ATTEMPT_DEADLINE), self.try_acquire()).await {
                Ok(Ok(true)) => renewed = sent,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the lease"),
                Err(_) => tracing::warn!("cannot renew the lease: the API server does not answer"),
            }
            if Instant::now() >= renewed + RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Releases the lease, if this process holds it, so that another candidate need not wait.
    ///
    /// # Errors
    /// Fails if an API request fails.
    pub async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(LEASE).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity))
        else {
            return Ok(());
        };
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        conflict_as_false(self.leases.replace(LEASE, &PostParams::default(), &lease).await).map(drop)
    }

    /// Acquires the lease if it is free, or renews it if this process holds it. Of two concurrent
    /// writes, the later one fails because of the resource version.
    async fn try_acquire(&self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.leases.get_opt(LEASE).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(&now, 0)),
            };
            return conflict_as_false(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.take().unwrap_or_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.identity);
        let is_released = spec.holder_identity.as_deref().is_none_or(str::is_empty);
        let age = spec.renew_time.as_ref().map_or(i64::MAX, |t| now.0.as_second() - t.0.as_second());
        if !ours && !is_released && age <= i64::from(spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS)) {
            return Ok(false);
        }
        let transitions = spec.lease_transitions.unwrap_or(0);
        let mut next = self.spec(&now, if ours { transitions } else { transitions.saturating_add(1) });
        if ours {
            next.acquire_time = spec.acquire_time;
        }
        lease.spec = Some(next);
        conflict_as_false(self.leases.replace(LEASE, &PostParams::default(), &lease).await)
    }

    fn spec(&self, now: &MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            acquire_time: Some(now.clone()),
            renew_time: Some(now.clone()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn conflict_as_false(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

//! Leader election: the holder of a Lease is the leader. A process that loses the lease exits. A
//! short overlap of two leaders is harmless, because they apply the results of pure functions and
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

use crate::names::LEASE;

/// A lease that was not renewed for this long may be acquired by another candidate.
const LEASE_SECONDS: i32 = 15;
/// Interval of renewals, and of attempts to acquire the lease.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);

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
            match self.try_acquire().await {
                Ok(true) => return,
                Ok(false) if !logged => {
                    tracing::info!("another operator is the leader; standing by");
                    logged = true;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot acquire the lease"),
            }
            tokio::time::sleep(RENEW_INTERVAL).await;
        }
    }

    /// Renews the lease; returns when it is lost.
    pub async fn renew_until_lost(&self) {
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RENEW_INTERVAL).await;
            match self.try_acquire().await {
                Ok(true) => renewed = tokio::time::Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot renew the lease");
                    if renewed.elapsed() > Duration::from_secs(u64::try_from(LEASE_SECONDS).unwrap_or(0)) {
                        return;
                    }
                }
            }
        }
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
        let age = spec.renew_time.as_ref().map_or(i64::MAX, |t| now.0.as_second() - t.0.as_second());
        if !ours && age <= i64::from(spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS)) {
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

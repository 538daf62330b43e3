//! One operator acts: the holder of a Lease. Losing it ends the process; a moment of overlap is harmless, because writes
//! are applies of pure results and creates of deterministic names.

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

/// A lease that was not renewed for this long is free.
const LEASE_SECONDS: i32 = 15;
/// How often it is renewed, or tried.
const RENEW: Duration = Duration::from_secs(4);

/// A candidate.
#[derive(Clone)]
pub struct Candidate {
    leases: Api<Lease>,
    identity: String,
}

impl Candidate {
    /// A candidate by the name of its pod.
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity: identity.to_owned() }
    }

    /// Waits until this process is the leader.
    pub async fn lead(&self) {
        let mut told = false;
        loop {
            match self.try_hold().await {
                Ok(true) => return,
                Ok(false) if !told => {
                    tracing::info!("another operator leads; waiting");
                    told = true;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be read or written"),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Renews until the lease is lost.
    pub async fn hold(&self) {
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RENEW).await;
            match self.try_hold().await {
                Ok(true) => renewed = tokio::time::Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "the lease cannot be renewed");
                    if renewed.elapsed() > Duration::from_secs(u64::try_from(LEASE_SECONDS).unwrap_or(0)) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes or renews the lease if it is ours or free. A write that comes second fails on the resource version.
    async fn try_hold(&self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.leases.get_opt(LEASE).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(&now, 0)),
            };
            return conflict_is_no(self.leases.create(&PostParams::default(), &lease).await);
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
        conflict_is_no(self.leases.replace(LEASE, &PostParams::default(), &lease).await)
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

fn conflict_is_no(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

//! The signer of PodCertificateRequests. Every replica of the operator runs it from its start, the
//! leader or not: pods that start wait for a signature. The decisions are in [`crate::identity`].
//!
//! [`maintain`] keeps what the signer needs: the admission policy that guards it, the Secret with
//! the roots, the CA of an [`issuer`], the published anchors, and by [`confirm`] who has them.
//! [`answer`] watches the requests and answers them.

pub mod answer;
pub mod bundle;
pub mod confirm;
pub mod guard;
pub mod issuer;
pub mod maintain;
pub mod root_secret;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::Client;
use tokio::time::Instant;

use crate::{
    args::{IdentityArgs, Settings},
    identity::{TrustDomain, authority::Authority, confirmation::Confirmations, rotation::READ_AGE_SECONDS_MAX},
    metrics::Metrics,
};

/// How long a replica may use what it has read.
const READ_AGE_MAX: Duration = Duration::from_secs(READ_AGE_SECONDS_MAX.unsigned_abs());

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct SignerSettings {
    /// Name of the signer, such as `recmesh.dev/recmesh`.
    pub name: String,
    /// Name of the admission policy that lets only kubelets ask.
    pub guard: String,
    /// Trust domain of a root that is made.
    pub trust_domain: TrustDomain,
    /// Name of the Secret with the CA of an issuer; without it the operator makes a root.
    pub issuer_secret: Option<String>,
    /// Namespace of the operator.
    pub namespace: String,
    /// Namespaces whose pods get certificates; empty for all.
    pub watched: Vec<String>,
}

impl SignerSettings {
    /// The settings of the signer; `None` if identity is off.
    pub fn of(settings: &Settings) -> Option<Self> {
        let IdentityArgs { identity_signer, trust_domain, identity_guard, identity_issuer_secret } =
            settings.identity.clone()?;
        Some(Self {
            name: identity_signer,
            guard: identity_guard,
            trust_domain,
            issuer_secret: identity_issuer_secret,
            namespace: settings.namespace.clone(),
            watched: settings.watch_namespaces.clone(),
        })
    }
}

/// The signer of one replica.
pub struct Signer {
    client: Client,
    /// HTTP client for the admin ports of pods.
    http: reqwest::Client,
    settings: SignerSettings,
    metrics: Arc<Metrics>,
    /// Whether this replica is the leader. It answers first; the others wait.
    is_leader: Arc<AtomicBool>,
    read: Mutex<Option<(Instant, Arc<Authority>)>>,
    /// When this replica first saw a request that is not answered, by uid.
    pending: Mutex<HashMap<String, Instant>>,
    /// What the pods have confirmed of the rotation that is in progress.
    confirmations: Mutex<Option<Confirmations>>,
}

impl Signer {
    /// Creates a signer that has not read its Secret.
    pub fn new(
        client: Client,
        http: reqwest::Client,
        settings: SignerSettings,
        metrics: Arc<Metrics>,
        is_leader: Arc<AtomicBool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            http,
            settings,
            metrics,
            is_leader,
            read: Mutex::new(None),
            pending: Mutex::default(),
            confirmations: Mutex::default(),
        })
    }

    /// Runs until the process ends.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(maintain::run(&self), answer::run(Arc::clone(&self)));
    }

    /// The authority to sign with; `None` while identity is off, or if it was read too long ago:
    /// the root may have been replaced.
    fn authority(&self) -> Option<Arc<Authority>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.as_ref().filter(|(at, _)| at.elapsed() <= READ_AGE_MAX).map(|(_, authority)| Arc::clone(authority))
    }

    fn set_authority(&self, authority: Option<(Instant, Arc<Authority>)>) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = authority;
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_confirmations(&self) -> Option<Confirmations> {
        self.confirmations.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_confirmations(&self, confirmations: Confirmations) {
        *self.confirmations.lock().unwrap_or_else(PoisonError::into_inner) = Some(confirmations);
    }

    fn leads(&self) -> bool {
        self.is_leader.load(Ordering::Relaxed)
    }
}

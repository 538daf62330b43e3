//! Keeps what the signer needs: the guard, the Secret, the published anchors, and the rotation.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    Signer, bundle, confirm, guard,
    issuer::{self, Issued, IssuerProblem},
    root_secret::{self, Stored},
};
use crate::{
    error::{Error, chain},
    identity::{
        TrustDomain,
        authority::{Authority, Target},
        confirmation,
        rotation::{Step, Transition},
    },
    names::PASS_OVER_ANNOTATION,
    signer::bundle::Published,
};

/// Interval of passes. With the deadline of a request it is well below the time for which a
/// replica may use the Secret that it has read.
const INTERVAL: Duration = Duration::from_secs(30);
/// Pause after a failed pass. Pods wait meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Why identity is off.
#[derive(Debug)]
enum Off {
    /// The admission policy is not in force.
    Guard(String),
    /// Another installation has the same signer.
    OtherInstallation(String),
    /// The issuer has not issued a usable CA yet.
    Issuer(IssuerProblem),
    /// The API server or the Secret failed.
    Failed(Error),
}

impl Off {
    /// Label of the metric.
    fn reason(&self) -> &'static str {
        match self {
            Self::Guard(_) => "guard",
            Self::OtherInstallation(_) => "other_installation",
            Self::Issuer(_) => "issuer",
            Self::Failed(error) => error.reason(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Guard(message) | Self::OtherInstallation(message) => message.clone(),
            Self::Issuer(problem) => problem.message.clone(),
            Self::Failed(error) => chain(error),
        }
    }

    /// Whether what was read before may be used until it is too old: a failure of the API server
    /// takes nothing back.
    fn keeps_authority(&self) -> bool {
        matches!(self, Self::Failed(Error::Api { .. }))
    }
}

impl From<Error> for Off {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a pass found.
struct Passed {
    /// Authority to sign with.
    authority: Arc<Authority>,
    /// What is wrong with the CA of the issuer.
    problem: Option<IssuerProblem>,
}

/// Runs passes until the process ends.
pub async fn run(signer: &Signer) {
    let mut last = String::new();
    let mut last_problem = None;
    let mut is_first = true;
    loop {
        let begin = Instant::now();
        let pause = match pass(signer).await {
            Ok(Passed { authority, problem }) => {
                if problem != last_problem {
                    log_issuer(problem.as_ref());
                    last_problem = problem;
                }
                signer.metrics.set_identity_issuer_problem(last_problem.as_ref().map(|problem| problem.reason));
                if !last.is_empty() {
                    tracing::info!("identity is on again");
                    last.clear();
                }
                if is_first {
                    log_trust_domain(&authority.trust_domain, &signer.settings.trust_domain);
                    is_first = false;
                }
                signer.metrics.set_identity_off(None);
                signer.metrics.set_identity_root(authority.root.certificate_not_after());
                signer.set_authority(Some((begin, authority)));
                INTERVAL
            }
            Err(off) => {
                let message = off.message();
                if message != last {
                    tracing::error!(reason = off.reason(), message, "identity is off: no certificates are signed");
                }
                last = message;
                if let Off::Issuer(problem) = &off {
                    signer.metrics.set_identity_issuer_problem(Some(problem.reason));
                }
                signer.metrics.set_identity_off(Some(off.reason()));
                if !off.keeps_authority() {
                    signer.set_authority(None);
                }
                RETRY_INTERVAL
            }
        };
        sleep(pause).await;
    }
}

/// Logs that the problem of the issuer's CA has changed.
fn log_issuer(problem: Option<&IssuerProblem>) {
    if let Some(IssuerProblem { reason, message }) = problem {
        tracing::error!(reason, message, "the CA of the issuer has a problem; the last usable CA or root signs");
    } else {
        tracing::info!("the CA of the issuer is usable and up to date");
    }
}

/// Logs the trust domain in use, which is that of the root.
fn log_trust_domain(used: &TrustDomain, set: &TrustDomain) {
    tracing::info!(trust_domain = used.as_str(), "identity is on");
    if used != set {
        tracing::warn!(
            used = used.as_str(),
            ignored = set.as_str(),
            "the trust domain is fixed by the root; to change it, delete the Secret and all pods with certificates"
        );
    }
}

/// One pass.
async fn pass(signer: &Signer) -> Result<Passed, Off> {
    let Signer { client, settings, .. } = signer;
    let (name, namespace) = (settings.name.as_str(), settings.namespace.as_str());
    let problem = guard::problem(client, &settings.guard).await;
    if let Some(problem) = problem.map_err(Error::api("cannot read the admission policy of the signer"))? {
        return Err(Off::Guard(problem));
    }
    loop {
        let now = Timestamp::now().as_second();
        let found = root_secret::find(client, namespace).await?;
        let domain = found.as_ref().map_or(&settings.trust_domain, |stored| &stored.authority.trust_domain);
        let issued = match &settings.issuer_secret {
            Some(secret) => Some(issuer::read(client, namespace, secret, domain, now).await),
            None => None,
        };
        let stored = match found {
            Some(stored) => stored,
            None => {
                root_secret::create(client, namespace, &first(&settings.trust_domain, issued.as_ref(), now)?).await?
            }
        };
        let authority = &stored.authority;
        if let Published::ByOther(other) = bundle::publish(client, name, namespace, &authority.anchors()).await? {
            return Err(Off::OtherInstallation(format!(
                "the operator in namespace {other} signs as {name} already; choose another fullnameOverride, or delete \
                 ClusterTrustBundle {} if that installation is gone",
                crate::identity::cluster_trust_bundle::name(name)
            )));
        }
        let now = Timestamp::now().as_second();
        let requested = stored.requested_rotation().map(str::to_owned);
        let own = Target::Own { requested: requested.as_deref() };
        let target = issued.as_ref().map_or(own, Issued::target);
        let is_confirmed = is_confirmed(signer, &stored).await;
        // One replica rotates; the version of the Secret would stop a second one.
        let due = signer.leads().then(|| authority.due(target, true, is_confirmed, now)).flatten();
        let Some(transition) = due else {
            let problem = issued.and_then(Issued::problem);
            return Ok(Passed { authority: Arc::new(stored.authority), problem });
        };
        let current = Authority::read(&authority.secret_data()).map_err(Error::identity_secret)?;
        let changed = current.after(transition, target, now).map_err(Error::identity_secret)?;
        if root_secret::replace(client, namespace, &stored, &changed).await? {
            if transition == Transition::Renew {
                tracing::info!("the issuer has renewed the CA");
            } else {
                tracing::info!(?transition, step = ?changed.step, "the root of identity is being rotated");
            }
        }
    }
}

/// The first authority of the installation.
fn first(domain: &TrustDomain, issued: Option<&Issued>, now: i64) -> Result<Authority, Off> {
    let ca = match issued.map(|issued| issued.ca.as_ref()) {
        None => return Ok(Authority::generate(domain.clone(), now).map_err(Error::identity_secret)?),
        Some(ca) => ca.map_err(|problem| Off::Issuer(problem.clone()))?,
    };
    Ok(Authority::with_root(domain.clone(), ca.copy().map_err(Error::identity_secret)?))
}

/// Whether all pods have confirmed the anchors of the step, or are passed over. The Secret and a
/// metric state which have not. What fails here delays the rotation, and never signatures.
async fn is_confirmed(signer: &Signer, stored: &Stored) -> bool {
    let since = match stored.authority.step {
        Step::Published { since } if signer.leads() => since,
        step => {
            signer.metrics.set_identity_unconfirmed(0);
            return !matches!(step, Step::Published { .. });
        }
    };
    let missing = match confirm::missing(signer, &stored.authority, since).await {
        Ok(missing) => missing,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot read which pods have the anchors; the rotation waits");
            return false;
        }
    };
    signer.metrics.set_identity_unconfirmed(missing.len());
    let description = confirmation::describe(&missing);
    if let Some(pods) = &description {
        let pass_over = stored.authority.pass_over().unwrap_or_default();
        tracing::warn!(
            pods,
            "the rotation waits for pods that have not confirmed the anchors; annotation {PASS_OVER_ANNOTATION}={pass_over} passes over them"
        );
    }
    match root_secret::note(&signer.client, &signer.settings.namespace, stored, description.as_deref()).await {
        Ok(is_as_read) => is_as_read && (missing.is_empty() || stored.passes_over()),
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot state which pods have not confirmed the anchors");
            false
        }
    }
}

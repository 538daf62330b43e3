//! Reads the CA that an issuer of cert-manager issues, from the Secret of its Certificate.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::{
    error::{Error, chain},
    identity::{
        TrustDomain,
        authority::Target,
        issued_ca::{self, CaProblem},
        root::Root,
    },
};

/// Why the CA of the issuer is not used, or will not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerProblem {
    /// Label of the metric.
    pub reason: &'static str,
    /// Names the Secret and its key, and states what is expected.
    pub message: String,
}

/// What the Secret has.
pub struct Issued {
    /// The CA, or why it cannot be used.
    pub ca: Result<Root, IssuerProblem>,
    /// Set if the CA can be used, and is not renewed.
    overdue: Option<IssuerProblem>,
}

impl Issued {
    /// The root that should sign.
    pub fn target(&self) -> Target<'_> {
        Target::Issued(self.ca.as_ref().ok())
    }

    /// What is wrong.
    pub fn problem(self) -> Option<IssuerProblem> {
        self.ca.err().or(self.overdue)
    }
}

/// Reads the Secret of the issuer's CA. A failure is returned as a problem and not as an error: the last
/// usable CA keeps signing.
pub async fn read(client: &Client, namespace: &str, name: &str, domain: &TrustDomain, now: i64) -> Issued {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(name).await.map_err(Error::api(format!("cannot read Secret {namespace}/{name}")));
    let unusable = |reason, message| Issued { ca: Err(IssuerProblem { reason, message }), overdue: None };
    let stated = |problem: &CaProblem| {
        let message = format!("Secret {namespace}/{name}: {problem}");
        IssuerProblem { reason: problem.reason(), message }
    };
    let secret = match found {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            let expected = "expected cert-manager to write it; the status of its Certificate states why it has not";
            return unusable("missing", format!("Secret {namespace}/{name} does not exist; {expected}"));
        }
        Err(error) => return unusable(error.reason(), chain(&error)),
    };
    let ca = issued_ca::read(secret.data.as_ref().unwrap_or(&BTreeMap::new()), domain, now);
    let overdue = ca.as_ref().ok().and_then(|ca| issued_ca::overdue(ca, now)).as_ref().map(stated);
    Issued { ca: ca.map_err(|problem| stated(&problem)), overdue }
}

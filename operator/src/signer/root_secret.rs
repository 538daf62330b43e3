//! The Secret with the authority. A replica creates it if it does not exist; of several replicas
//! one creates it, and the others read it. A change is written only to the version that was read.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{
    error::Error,
    identity::authority::Authority,
    names::{IDENTITY_SECRET, MANAGER, PASS_OVER_ANNOTATION, ROTATE_ANNOTATION, UNCONFIRMED_ANNOTATION},
};

/// The Secret as it was read.
pub struct Stored {
    /// Its contents.
    pub authority: Authority,
    secret: Secret,
}

impl Stored {
    /// Value of the annotation that requests a rotation.
    pub fn requested_rotation(&self) -> Option<&str> {
        self.annotation(ROTATE_ANNOTATION)
    }

    /// Whether an annotation passes over the pods that have not confirmed the anchors of the step.
    pub fn passes_over(&self) -> bool {
        let expected = self.authority.pass_over();
        expected.is_some() && self.annotation(PASS_OVER_ANNOTATION) == expected.as_deref()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.secret.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// Reads the Secret, if it exists.
///
/// # Errors
/// Fails if the API request fails, or if the Secret is malformed.
pub async fn find(client: &Client, namespace: &str) -> Result<Option<Stored>, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(IDENTITY_SECRET).await;
    let found = found.map_err(Error::api(format!("cannot read Secret {namespace}/{IDENTITY_SECRET}")))?;
    found.map(read).transpose()
}

/// Creates the Secret with the first authority. Returns that of another replica if it was faster.
///
/// # Errors
/// Fails if an API request fails, or if the Secret of the other replica is malformed.
pub async fn create(client: &Client, namespace: &str, authority: &Authority) -> Result<Stored, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let action = format!("cannot create or read Secret {namespace}/{IDENTITY_SECRET}");
    let labels = [("app.kubernetes.io/part-of", "recmesh"), ("app.kubernetes.io/managed-by", MANAGER)];
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(IDENTITY_SECRET.to_owned()),
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ObjectMeta::default()
        },
        data: Some(authority.secret_data()),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(created) => {
            tracing::info!(
                secret = IDENTITY_SECRET,
                trust_domain = authority.trust_domain.as_str(),
                "created the root of identity"
            );
            read(created)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            read(secrets.get(IDENTITY_SECRET).await.map_err(Error::api(action))?)
        }
        Err(error) => Err(Error::api(action)(error)),
    }
}

/// Replaces the authority, if the Secret was not changed since `secret` was read. Returns whether
/// it was replaced.
///
/// # Errors
/// Fails if the API request fails.
pub async fn replace(client: &Client, namespace: &str, stored: &Stored, changed: &Authority) -> Result<bool, Error> {
    let mut secret = stored.secret.clone();
    secret.data = Some(changed.secret_data());
    secret.metadata.annotations.get_or_insert_default().remove(UNCONFIRMED_ANNOTATION);
    write(client, namespace, secret).await
}

/// States in the Secret which pods a rotation waits for, if it does not state it yet. Returns
/// whether the Secret is as it was read.
///
/// # Errors
/// Fails if the API request fails.
pub async fn note(client: &Client, namespace: &str, stored: &Stored, unconfirmed: Option<&str>) -> Result<bool, Error> {
    if stored.annotation(UNCONFIRMED_ANNOTATION) == unconfirmed {
        return Ok(true);
    }
    let mut secret = stored.secret.clone();
    let annotations = secret.metadata.annotations.get_or_insert_default();
    match unconfirmed {
        Some(pods) => annotations.insert(UNCONFIRMED_ANNOTATION.to_owned(), pods.to_owned()),
        None => annotations.remove(UNCONFIRMED_ANNOTATION),
    };
    write(client, namespace, secret).await.map(|_| false)
}

/// Replaces the Secret; returns whether the version was the current one.
async fn write(client: &Client, namespace: &str, secret: Secret) -> Result<bool, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match secrets.replace(IDENTITY_SECRET, &PostParams::default(), &secret).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(Error::api(format!("cannot replace Secret {namespace}/{IDENTITY_SECRET}"))(error)),
    }
}

fn read(secret: Secret) -> Result<Stored, Error> {
    let authority = Authority::read(secret.data.as_ref().unwrap_or(&std::collections::BTreeMap::new()));
    Ok(Stored { authority: authority.map_err(Error::identity_secret)?, secret })
}

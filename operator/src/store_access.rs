//! Where a Recommender's store is, and how the operator opens it. IO.
//!
//! In the embedded store the operator has a credential of its own. In a bucket of the user's (`spec.store`) it works with the
//! one Secret that the resource names there, read by name when it is needed and kept nowhere; or, where the installation
//! allows that bucket, with its own identity.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use recommender_crds::StoreSpec;
use sidecar_contract::{
    KeyLayout, StoreConfig,
    credentials::{AccessKeyId, Role},
    store::{EMBEDDED_BUCKET, EMBEDDED_REGION},
};
use store_client::{BucketSecret, Store, StoreCredentials, StoreError};

use crate::{context::Context, error::chain};

/// Longest wait for a bucket of a user's: one that does not answer must not hold up the others' reconciles.
pub const USERS_STORE_WAIT: Duration = Duration::from_secs(15);

/// A Recommender as the owner of a part of a store.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its `spec.store`.
    pub store: Option<&'a StoreSpec>,
}

impl Owner<'_> {
    /// The store as the Recommender's pods see it.
    pub fn config(&self, context: &Context) -> StoreConfig {
        let prefix = KeyLayout::recommender_prefix(&context.root.installation_id, self.namespace, self.name);
        let region = EMBEDDED_REGION.to_owned();
        if let Some(store) = self.store {
            let url = store.url.clone().unwrap_or_default();
            return StoreConfig { url, endpoint: None, region, prefix };
        }
        let settings = &context.settings;
        StoreConfig {
            url: settings.store_url.clone().unwrap_or_else(|| format!("s3://{EMBEDDED_BUCKET}")),
            endpoint: settings.store_url.is_none().then(|| settings.store_endpoint.clone()),
            region,
            prefix,
        }
    }

    /// The store as the operator sees it, or why it cannot be opened.
    ///
    /// # Errors
    /// What to tell the user.
    pub async fn open(&self, context: &Context) -> Result<Store, String> {
        let credentials = match self.store {
            None => {
                let (namespace, name) = (self.namespace.to_owned(), self.name.to_owned());
                let id = AccessKeyId { namespace, name, role: Role::Operator };
                Some(StoreCredentials::derived(&context.root.key, &id))
            }
            Some(store) => self.users_credentials(context, store).await?,
        };
        Store::open(&self.config(context), credentials.as_ref()).map_err(|error| self.said(&error))
    }

    async fn users_credentials(
        &self,
        context: &Context,
        store: &StoreSpec,
    ) -> Result<Option<StoreCredentials>, String> {
        let Some(named) = &store.secret_ref else {
            let url = store.url.as_deref().unwrap_or_default();
            if is_allowed(url, &context.settings.workload_identity_stores) {
                return Ok(None);
            }
            return Err(format!(
                "spec.store: {url} without secretRef is opened with the operator's own identity, which this installation does not \
                 allow for it: set spec.store.secretRef, or add the bucket to the chart's operator.workloadIdentityStores"
            ));
        };
        let (namespace, name) = (self.namespace, named.name.as_str());
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
        let found = secrets.get_opt(name).await;
        let secret = found.map_err(|error| format!("cannot read Secret {namespace}/{name}: {}", chain(&error)))?;
        let secret = secret.ok_or_else(|| {
            format!("Secret {namespace}/{name}, which spec.store.secretRef names, is not there: create it")
        })?;
        let text = |bytes: k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
        let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value)));
        Ok(Some(StoreCredentials::Secret(BucketSecret::new(format!("{namespace}/{name}"), values))))
    }

    /// An error in the words of the status. Of a bucket of the user's the cause is left out: its endpoint is the user's choice,
    /// and what any server in the cluster's network says to the operator is not for the user to read.
    pub fn said(&self, error: &StoreError) -> String {
        if self.store.is_some() { error.to_string() } else { chain(error) }
    }

    /// Waits for a bucket of the user's no longer than [`USERS_STORE_WAIT`].
    ///
    /// # Errors
    /// What to tell the user.
    pub async fn in_time<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let Some(store) = self.store else { return work.await };
        tokio::time::timeout(USERS_STORE_WAIT, work).await.unwrap_or_else(|_| {
            Err(format!(
                "{} does not answer within {} s; check spec.store and the endpoint in its Secret",
                store.url.as_deref().unwrap_or_default(),
                USERS_STORE_WAIT.as_secs()
            ))
        })
    }
}

/// Whether a bucket is one of those, or below a path of one.
fn is_allowed(url: &str, allowed: &[String]) -> bool {
    let url = url.trim_end_matches('/');
    allowed.iter().map(|allowed| allowed.trim_end_matches('/')).any(|allowed| {
        let below = url.strip_prefix(allowed);
        !allowed.is_empty() && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_bucket_allows_what_is_below_it_and_no_name_that_begins_like_it() {
        let allowed = ["s3://models/team-a/".to_owned(), "gs://all".to_owned(), String::new()];
        for url in ["s3://models/team-a", "s3://models/team-a/x/", "gs://all", "gs://all/b"] {
            assert!(is_allowed(url, &allowed), "{url}");
        }
        for url in ["s3://models", "s3://models/team-ab", "gs://all-of-it", "s3://all", "", "az://other"] {
            assert!(!is_allowed(url, &allowed), "{url}");
        }
    }
}

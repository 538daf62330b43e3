//! How the operator accesses the store of a Recommender. IO.
//!
//! The operator has its own credentials for the embedded store. For a user's bucket (`spec.store`)
//! it uses the Secret that `spec.store` names: it reads the Secret by name for each access and does
//! not cache it. Without a Secret it uses its own identity, if the installation allows that for the
//! bucket.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use recommender_crds::StoreSpec;
use sidecar_contract::credentials::{AccessKeyId, Role};
use store_client::{BucketSecret, Store, StoreCredentials, StoreError};

use crate::{
    context::Context,
    error::chain,
    store_scope::{self, StoreScope},
};

/// Timeout for a user's bucket: an unresponsive one must not delay the reconciles of other
/// Recommenders.
pub const USER_STORE_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens the store with the operator's credentials.
///
/// # Errors
/// Returns a message for the user if the store cannot be opened.
pub async fn open(context: &Context, scope: StoreScope<'_>) -> Result<Store, String> {
    let credentials = match scope.store {
        None => {
            let (namespace, name) = (scope.namespace.to_owned(), scope.name.to_owned());
            let id = AccessKeyId { namespace, name, role: Role::Operator };
            Some(StoreCredentials::derived(&context.installation.root.key, &id))
        }
        Some(store) => user_credentials(context, scope.namespace, store).await?,
    };
    Store::open(&scope.config(&context.installation), credentials.as_ref())
        .map_err(|error| user_facing_message(scope, &error))
}

async fn user_credentials(
    context: &Context,
    namespace: &str,
    store: &StoreSpec,
) -> Result<Option<StoreCredentials>, String> {
    // The spec may be invalid, and another scheme could name a file or a server of the cluster.
    if let Some(problem) = store_scope::problem(store) {
        return Err(problem);
    }
    let Some(named) = &store.secret_ref else {
        let url = store.url.as_deref().unwrap_or_default();
        if is_allowed(url, &context.installation.settings.workload_identity_stores) {
            return Ok(None);
        }
        return Err(format!(
            "spec.store: {url} has no secretRef, and this installation does not allow the operator's own identity for it: \
             set spec.store.secretRef, or add the bucket to the chart value operator.workloadIdentityStores"
        ));
    };
    let name = named.name.as_str();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = secrets.get_opt(name).await;
    let secret = found.map_err(|error| format!("cannot read Secret {namespace}/{name}: {}", chain(&error)))?;
    let secret =
        secret.ok_or_else(|| format!("spec.store.secretRef: Secret {namespace}/{name} does not exist: create it"))?;
    let text = |bytes: k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
    let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value)));
    Ok(Some(StoreCredentials::Secret(BucketSecret::new(format!("{namespace}/{name}"), values))))
}

/// Formats an error for the status. For a user's bucket the cause is omitted: the user chooses its
/// endpoint, and must not be able to read responses of arbitrary servers in the cluster network
/// through the operator.
pub fn user_facing_message(scope: StoreScope<'_>, error: &StoreError) -> String {
    if scope.store.is_some() { error.to_string() } else { chain(error) }
}

/// Applies [`USER_STORE_TIMEOUT`] to an operation on a user's bucket.
///
/// # Errors
/// Returns a message for the user if the operation fails or times out.
pub async fn with_timeout<T>(
    scope: StoreScope<'_>,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let Some(store) = scope.store else { return work.await };
    tokio::time::timeout(USER_STORE_TIMEOUT, work).await.unwrap_or_else(|_| {
        Err(format!(
            "{} did not respond within {} s; check spec.store and the endpoint in its Secret",
            store.url.as_deref().unwrap_or_default(),
            USER_STORE_TIMEOUT.as_secs()
        ))
    })
}

/// Whether a URL is one of the allowed URLs, or below one of them.
fn is_allowed(url: &str, allowed: &[String]) -> bool {
    let url = url.trim_end_matches('/');
    allowed.iter().map(|allowed| allowed.trim_end_matches('/')).any(|allowed| {
        let rest = url.strip_prefix(allowed);
        !allowed.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_url_covers_paths_below_it_but_not_names_with_the_same_prefix() {
        let allowed = ["s3://models/team-a/".to_owned(), "gs://all".to_owned(), String::new()];
        for url in ["s3://models/team-a", "s3://models/team-a/x/", "gs://all", "gs://all/b"] {
            assert!(is_allowed(url, &allowed), "{url}");
        }
        for url in ["s3://models", "s3://models/team-ab", "gs://all-of-it", "s3://all", "", "az://other"] {
            assert!(!is_allowed(url, &allowed), "{url}");
        }
    }
}

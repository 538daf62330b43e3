//! How the operator accesses the store of a Recommender. IO.
//!
//! The operator has its own credentials for the embedded store. For a user's bucket (`spec.store`)
//! it uses the Secret that `spec.store` names: it reads the Secret by name for each access and does
//! not cache it. Without a Secret it uses its own identity, if the installation allows that for the
//! bucket. Every access passes the [`store_gate`](crate::store_gate).

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use recommender_crds::StoreSpec;
use sidecar_contract::credentials::{AccessKeyId, Role};
use store_client::{Bounds, BucketSecret, Retry, Store, StoreCredentials, StoreError};

use crate::{
    context::Context,
    error::chain,
    store_gate::{StoreFailure, StoreProblem},
    store_scope::{self, StoreScope},
};

/// Deadline of reading the run results of a Recommender, or the list of its snapshots. Results that
/// were read before it are kept, and the next attempt reads the others.
pub const READ_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline of deletions. What was deleted before it stays deleted.
pub const DELETION_DEADLINE: Duration = Duration::from_secs(30);
/// Max bytes of a response: a run result, or a page of a listing, which has 1,000 keys.
pub const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Max requests of one access: the pages of a listing and the results of all runs that are read, or
/// the deletions within [`DELETION_DEADLINE`].
const REQUESTS_MAX: usize = 2000;

/// Credentials, and the version of the Secret that they are from.
struct Credentials {
    credentials: Option<StoreCredentials>,
    secret_version: Option<String>,
}

/// Runs `work` on the store of a Recommender with the operator's credentials.
///
/// # Errors
/// Fails if the store cannot be opened, if `work` fails or takes longer than `deadline`, or if the
/// store failed before and is not tried again yet.
pub async fn with_store<T, F>(
    context: &Context,
    scope: StoreScope<'_>,
    deadline: Duration,
    work: impl FnOnce(Store) -> F,
) -> Result<T, StoreProblem>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (key, gate) = (scope.key(), &context.store_gate);
    let credentials = credentials(context, scope).await.map_err(|failure| gate.record(&key, None, failure))?;
    let Credentials { credentials, secret_version } = credentials;
    let opened_and_used = async {
        let bounds = Bounds { response_bytes_max: RESPONSE_BYTES_MAX, requests_max: REQUESTS_MAX };
        let store = Store::open_bounded(&scope.config(&context.installation), credentials.as_ref(), bounds);
        let done = match store {
            Ok(store) => work(store).await,
            Err(error) => Err(error),
        };
        done.map_err(|error| StoreFailure::of(&error, user_facing_message(scope, &error)))
    };
    gate.run(&key, secret_version.as_deref(), deadline, opened_and_used).await
}

async fn credentials(context: &Context, scope: StoreScope<'_>) -> Result<Credentials, StoreFailure> {
    let Some(store) = scope.store else {
        let (namespace, name) = (scope.namespace.to_owned(), scope.name.to_owned());
        let id = AccessKeyId { namespace, name, role: Role::Operator };
        let derived = StoreCredentials::derived(&context.installation.root.key, &id);
        return Ok(Credentials { credentials: Some(derived), secret_version: None });
    };
    user_credentials(context, scope.namespace, store).await
}

async fn user_credentials(context: &Context, namespace: &str, store: &StoreSpec) -> Result<Credentials, StoreFailure> {
    let rarely = |message| StoreFailure { message, retry: Retry::Rarely };
    let soon = |message| StoreFailure { message, retry: Retry::Soon };
    // The spec may be invalid, and another scheme could name a file or a server of the cluster.
    if let Some(problem) = store_scope::problem(store) {
        return Err(rarely(problem));
    }
    let Some(named) = &store.secret_ref else {
        let url = store.url.as_deref().unwrap_or_default();
        if is_allowed(url, &context.installation.settings.workload_identity_stores) {
            return Ok(Credentials { credentials: None, secret_version: None });
        }
        return Err(rarely(format!(
            "spec.store: {url} has no secretRef, and this installation does not allow the operator's own identity for it: \
             set spec.store.secretRef, or add the bucket to the chart value operator.workloadIdentityStores"
        )));
    };
    let name = named.name.as_str();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = secrets.get_opt(name).await;
    let secret = found.map_err(|error| soon(format!("cannot read Secret {namespace}/{name}: {}", chain(&error))))?;
    let missing = || soon(format!("spec.store.secretRef: Secret {namespace}/{name} does not exist: create it"));
    let secret = secret.ok_or_else(missing)?;
    let secret_version = secret.resource_version();
    let text = |bytes: k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
    let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value)));
    let credentials = StoreCredentials::Secret(BucketSecret::new(format!("{namespace}/{name}"), values));
    Ok(Credentials { credentials: Some(credentials), secret_version })
}

/// Formats an error for the status. For a user's bucket the cause is omitted: the user chooses its
/// endpoint, and must not be able to read responses of arbitrary servers in the cluster network
/// through the operator.
fn user_facing_message(scope: StoreScope<'_>, error: &StoreError) -> String {
    if scope.store.is_some() { error.to_string() } else { chain(error) }
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

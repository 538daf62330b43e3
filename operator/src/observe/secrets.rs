//! Versions of the Secrets that the trainer receives. Only metadata is read, never their content.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use recommender_crds::Recommender;

use crate::{context::Context, error::Error};

/// Reads the resource versions by name. A Secret that does not exist, or that the operator may not
/// read, has none.
///
/// # Errors
/// Fails if an API request fails for a reason other than missing permission.
pub async fn versions(context: &Context, recommender: &Recommender) -> Result<BTreeMap<String, String>, Error> {
    let data = &recommender.spec.data;
    let sources = [Some(&data.source), data.items.as_ref().map(|items| &items.source)].into_iter().flatten();
    let names: BTreeSet<&str> =
        sources.filter_map(|s| s.secret_ref.as_ref()).map(|secret| secret.name.as_str()).collect();
    let namespace = recommender.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let mut versions = BTreeMap::new();
    for name in names {
        match api.get_metadata_opt(name).await {
            Ok(found) => {
                versions
                    .extend(found.and_then(|f| f.metadata.resource_version).map(|version| (name.to_owned(), version)));
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            Err(error) => {
                return Err(Error::api(format!("cannot read the metadata of Secret {namespace}/{name}"))(error));
            }
        }
    }
    Ok(versions)
}

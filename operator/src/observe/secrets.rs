//! Versions of the Secrets that a trainer is given. Metadata only: what is in them is nobody's business here.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::{context::Context, error::Error, validate::Plan};

/// The versions by name; a Secret that is not there, or that the operator may not see, has none.
///
/// # Errors
/// The API server could not be asked.
pub async fn secret_versions(context: &Context, plan: &Plan) -> Result<BTreeMap<String, String>, Error> {
    let items = plan.spec.data.items.as_ref().map(|items| &items.source);
    let sources = [Some(&plan.spec.data.source), items].into_iter().flatten();
    let names: BTreeSet<&str> =
        sources.filter_map(|s| s.secret_ref.as_ref()).map(|secret| secret.name.as_str()).collect();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &plan.namespace);
    let mut versions = BTreeMap::new();
    for name in names {
        match api.get_metadata_opt(name).await {
            Ok(found) => {
                versions
                    .extend(found.and_then(|f| f.metadata.resource_version).map(|version| (name.to_owned(), version)));
            }
            Err(kube::Error::Api(refused)) if refused.code == 403 => {}
            Err(error) => return Err(Error::api(format!("cannot look at Secret {}/{name}", plan.namespace))(error)),
        }
    }
    Ok(versions)
}

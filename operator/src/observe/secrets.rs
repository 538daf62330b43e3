//! Versions of the data of the Secrets that the trainer receives. Only metadata is read, never the
//! data: the metadata states who wrote the data last, and when.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, ResourceExt};
use recommender_crds::Recommender;
use serde_json::{Value, json};
use sidecar_contract::{Digest, canonical_json, keys::FINGERPRINT_DIGITS};

use crate::{context::Context, error::Error};

/// Reads the versions by name. A Secret that does not exist, or that the operator may not
/// read, has none.
///
/// # Errors
/// Fails if an API request fails for a reason other than missing permission.
pub async fn versions(context: &Context, recommender: &Recommender) -> Result<BTreeMap<String, String>, Error> {
    let Some(data) = &recommender.spec.data else { return Ok(BTreeMap::new()) };
    let sources = [Some(&data.source), data.items.as_ref().map(|items| &items.source)].into_iter().flatten();
    let names: BTreeSet<&str> =
        sources.filter_map(|s| s.secret_ref.as_ref()).map(|secret| secret.name.as_str()).collect();
    let namespace = recommender.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let mut versions = BTreeMap::new();
    for name in names {
        match api.get_metadata_opt(name).await {
            Ok(found) => {
                versions.extend(found.map(|found| (name.to_owned(), data_version(&found.metadata))));
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            Err(error) => {
                return Err(Error::api(format!("cannot read the metadata of Secret {namespace}/{name}"))(error));
            }
        }
    }
    Ok(versions)
}

/// Version of the data of a Secret. A label or an annotation, which other programs write at any
/// time, does not change it.
fn data_version(metadata: &ObjectMeta) -> String {
    let writes = metadata.managed_fields.iter().flatten().filter_map(|entry| {
        let fields = entry.fields_v1.as_ref()?;
        let data = ["f:data", "f:stringData"].map(|field| fields.0.get(field).cloned());
        let is_of_data = data.iter().any(Option::is_some);
        is_of_data.then(|| json!([entry.manager, entry.operation, entry.time, data]))
    });
    let writes: Vec<Value> = writes.collect();
    let digest = Digest::of(canonical_json(&json!([metadata.uid, writes])).as_bytes());
    digest.as_str().get(..FINGERPRINT_DIGITS).unwrap_or_default().to_owned()
}

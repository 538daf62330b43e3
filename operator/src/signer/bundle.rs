//! Publishes the anchors as a ClusterTrustBundle.

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};

use crate::{
    error::Error,
    identity::{
        ClusterTrustBundle,
        cluster_trust_bundle::{manifest, name},
    },
    names::MANAGER,
};

/// State of the bundle in the API server.
#[derive(Debug, PartialEq, Eq)]
pub enum Published {
    /// It has these anchors.
    Yes,
    /// The operator in this namespace publishes anchors for the same signer.
    ByOther(String),
}

/// Publishes anchors, if the bundle does not have them.
///
/// # Errors
/// Fails if an API request fails.
pub async fn publish(client: &Client, signer: &str, namespace: &str, anchors: &str) -> Result<Published, Error> {
    let bundles: Api<ClusterTrustBundle> = Api::all(client.clone());
    let name = name(signer);
    let action = format!("cannot publish the anchors in ClusterTrustBundle {name}");
    let found = bundles.get_opt(&name).await.map_err(Error::api(action.clone()))?;
    if let Some(other) = found.as_ref().and_then(|bundle| bundle.other_installation(namespace)) {
        return Ok(Published::ByOther(other.to_owned()));
    }
    let manifest = manifest(signer, namespace, anchors);
    let is_current = found.is_some_and(|found| {
        let labels = serde_json::to_value(&found.metadata.labels).ok();
        found.spec.trust_bundle == anchors && labels.as_ref() == manifest.pointer("/metadata/labels")
    });
    if !is_current {
        // Strict: the API server otherwise drops a field that it does not know.
        let params = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply(MANAGER)
        };
        bundles.patch(&name, &params.force(), &Patch::Apply(manifest)).await.map_err(Error::api(action))?;
        tracing::info!(bundle = name, "published the anchors");
    }
    Ok(Published::Yes)
}

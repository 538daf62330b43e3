//! Metadata of the objects with the names of a Recommender's permanent children.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;

use super::Subject;
use crate::{
    child_kind::ChildKind, context::Context, error::Error, names::Names, observed::controlled_by, received::Meta,
};

/// The objects that exist.
#[derive(Debug, Default)]
pub struct Children {
    /// Resource versions of the Recommender's own objects, by kind and name.
    pub versions: BTreeMap<(ChildKind, String), String>,
    /// Kinds and names of objects of another owner.
    pub conflicts: Vec<(ChildKind, String)>,
}

impl Children {
    /// Adds an object that exists.
    pub fn add(&mut self, kind: ChildKind, metadata: &ObjectMeta, uid: &str) {
        let child = (kind, metadata.name.clone().unwrap_or_default());
        if controlled_by(metadata.owner_references.as_deref().unwrap_or_default(), uid) {
            self.versions.insert(child, metadata.resource_version.clone().unwrap_or_default());
        } else {
            self.conflicts.push(child);
        }
    }
}

/// Reads the metadata of all objects with the names of the children, except those that are read as
/// a whole.
///
/// # Errors
/// Fails if an API request fails.
pub async fn read(context: &Context, subject: &Subject<'_>) -> Result<Children, Error> {
    let Subject { namespace, name, uid } = subject;
    let children = ChildKind::children(&Names::new(*name)).into_iter();
    let by_metadata = children.filter(|(kind, _)| !matches!(kind, ChildKind::ConfigMap | ChildKind::Deployment));
    let reads = by_metadata.map(|(kind, name)| async move {
        let api: Api<Meta> = Api::namespaced_with(context.client.clone(), namespace, &kind.api_resource());
        let action = format!("cannot read {} {namespace}/{name}", kind.as_str());
        let found = api.get_opt(&name).await.map_err(Error::api(action))?;
        Ok::<_, Error>(found.map(|object| (kind, object)))
    });
    let mut children = Children::default();
    for (kind, object) in try_join_all(reads).await?.into_iter().flatten() {
        children.add(kind, &object.metadata, uid);
    }
    Ok(children)
}

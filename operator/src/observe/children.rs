//! Metadata of the objects with the names of a Recommender's permanent children.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use kube::{Api, ResourceExt, api::PartialObjectMeta, core::DynamicObject};

use super::Subject;
use crate::{child_kind::ChildKind, context::Context, error::Error, names::Names, observed::controlled_by};

/// The objects that exist.
#[derive(Debug, Default)]
pub struct Children {
    /// Resource versions of the Recommender's own objects, by kind and name.
    pub versions: BTreeMap<(ChildKind, String), String>,
    /// Kinds and names of objects of another owner.
    pub conflicts: Vec<(ChildKind, String)>,
}

/// Reads the metadata of all objects with the names of the children.
///
/// # Errors
/// Fails if an API request fails.
pub async fn read(context: &Context, subject: &Subject<'_>) -> Result<Children, Error> {
    let Subject { namespace, name, uid } = subject;
    let reads = ChildKind::children(&Names::new(*name)).into_iter().map(|(kind, name)| async move {
        let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind.api_resource());
        let action = format!("cannot read {} {namespace}/{name}", kind.as_str());
        let found: Option<PartialObjectMeta<DynamicObject>> =
            api.get_metadata_opt(&name).await.map_err(Error::api(action))?;
        Ok::<_, Error>(found.map(|object| (kind, name, object)))
    });
    let mut children = Children::default();
    for (kind, name, object) in try_join_all(reads).await?.into_iter().flatten() {
        if controlled_by(object.owner_references(), uid) {
            children.versions.insert((kind, name), object.resource_version().unwrap_or_default());
        } else {
            children.conflicts.push((kind, name));
        }
    }
    Ok(children)
}

//! Metadata of an object of any kind, without managed fields and what other programs keep there.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    jiff::Timestamp,
};
use kube::{
    Resource,
    api::ObjectMeta,
    core::{ApiResource, DynamicResourceScope},
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::names::{
    ACCEPT_CATALOGUE_ANNOTATION, ATTEMPT_LABEL, COMPONENT_LABEL, CONFIG_HASH_ANNOTATION, INJECT_LABEL, INJECTED_LABEL,
    NAMESPACE_LABEL, POD_TEMPLATE_HASH_LABEL, PROMOTE_ANNOTATION, RECOMMENDER_LABEL, RECONCILE_AT_ANNOTATION,
    REFRESH_CATALOGUE_ANNOTATION, REQUEST_LABEL, RETRAIN_AT_ANNOTATION, RUN_LABEL, SPEC_HASH_LABEL, TASK_LABEL,
    TEMPLATE_HASH_ANNOTATION,
};

/// Labels and annotations that are kept.
const KEPT: [&str; 18] = [
    ACCEPT_CATALOGUE_ANNOTATION,
    ATTEMPT_LABEL,
    COMPONENT_LABEL,
    CONFIG_HASH_ANNOTATION,
    INJECTED_LABEL,
    INJECT_LABEL,
    NAMESPACE_LABEL,
    POD_TEMPLATE_HASH_LABEL,
    PROMOTE_ANNOTATION,
    RECOMMENDER_LABEL,
    RECONCILE_AT_ANNOTATION,
    REFRESH_CATALOGUE_ANNOTATION,
    REQUEST_LABEL,
    RETRAIN_AT_ANNOTATION,
    RUN_LABEL,
    SPEC_HASH_LABEL,
    TASK_LABEL,
    TEMPLATE_HASH_ANNOTATION,
];
/// Max bytes of an annotation; the rest is cut. A label has 63 at most.
pub(super) const VALUE_BYTES_MAX: usize = 1024;
/// Max bytes of a field of a controller reference. A name has 253 at most. A longer one is made up.
const REFERENCE_BYTES_MAX: usize = 256;
/// Maximum finalizers that are kept, and max bytes of one: no cluster has that many.
pub(super) const FINALIZERS_MAX: usize = 64;
const FINALIZER_BYTES_MAX: usize = 317;

/// Metadata of an object of any kind.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Meta {
    /// The metadata.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
}

impl Resource for Meta {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Deserializes metadata: names, versions, times, the controller, finalizers, and the labels and
/// annotations that are read.
///
/// # Errors
/// Fails for metadata that the API server does not return.
pub fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let kept = Option::<KeptMetadata>::deserialize(deserializer)?.unwrap_or_default();
    Ok(ObjectMeta {
        name: kept.name,
        namespace: kept.namespace,
        uid: kept.uid,
        resource_version: kept.resource_version,
        generation: kept.generation,
        creation_timestamp: kept.creation_timestamp,
        deletion_timestamp: kept.deletion_timestamp,
        labels: kept.labels.map(|labels| labels.0),
        annotations: kept.annotations.map(|annotations| annotations.0),
        owner_references: kept.owner_references.and_then(|owners| owners.0).map(|controller| vec![controller]),
        finalizers: kept.finalizers.map(|finalizers| finalizers.0),
        ..ObjectMeta::default()
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KeptMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    #[serde(deserialize_with = "time")]
    creation_timestamp: Option<Time>,
    #[serde(deserialize_with = "time")]
    deletion_timestamp: Option<Time>,
    labels: Option<Known>,
    annotations: Option<Known>,
    owner_references: Option<Controller>,
    finalizers: Option<Finalizers>,
}

/// Deserializes a time. One that the operator cannot represent is the latest one that it can.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<Cow<'_, str>>::deserialize(deserializer)?;
    Ok(text.map(|text| Time(text.parse().unwrap_or(Timestamp::MAX))))
}

/// Labels or annotations that are read.
struct Known(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KnownVisitor)
    }
}

struct KnownVisitor;

impl<'de> Visitor<'de> for KnownVisitor {
    type Value = Known;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("labels or annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Known, A::Error> {
        let mut known = BTreeMap::new();
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            if KEPT.contains(&&*name) {
                let mut value: String = members.next_value()?;
                value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
                known.insert(name.into_owned(), value);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Known(known))
    }
}

/// The owner that controls an object; the API server allows one.
struct Controller(Option<OwnerReference>);

impl<'de> Deserialize<'de> for Controller {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ControllerVisitor)
    }
}

struct ControllerVisitor;

impl<'de> Visitor<'de> for ControllerVisitor {
    type Value = Controller;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("owner references")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut owners: A) -> Result<Controller, A::Error> {
        let mut found = None;
        while let Some(owner) = owners.next_element::<OwnerReference>()? {
            let fields = [&owner.api_version, &owner.kind, &owner.name, &owner.uid];
            if owner.controller == Some(true) && fields.iter().all(|field| field.len() <= REFERENCE_BYTES_MAX) {
                found = found.or(Some(owner));
            }
        }
        Ok(Controller(found))
    }
}

/// Finalizers; of more than [`FINALIZERS_MAX`] the first ones, and one more as a sign of that.
struct Finalizers(Vec<String>);

impl<'de> Deserialize<'de> for Finalizers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FinalizersVisitor)
    }
}

struct FinalizersVisitor;

impl<'de> Visitor<'de> for FinalizersVisitor {
    type Value = Finalizers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("finalizers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Finalizers, A::Error> {
        let mut kept = Vec::new();
        while let Some(name) = names.next_element::<Cow<'_, str>>()? {
            if kept.len() <= FINALIZERS_MAX {
                kept.push(name.get(..FINALIZER_BYTES_MAX).unwrap_or(&name).to_owned());
            }
        }
        Ok(Finalizers(kept))
    }
}

#[cfg(test)]
mod tests {
    use kube::{ResourceExt as _, core::WatchEvent};
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_read_is_kept_whatever_an_object_has() {
        let owner = |name: &str, controller: bool| json!({"apiVersion": "v1", "kind": "A", "name": name, "uid": name, "controller": controller});
        let object = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "9999-12-31T23:59:59Z",
                "managedFields": [{"manager": "kubectl", "time": "9999-12-31T23:59:59Z"}],
                "labels": {"recmesh.dev/recommender": "movies", "app": "x"},
                "annotations": {"recmesh.dev/promote": "é".repeat(1000), "recmesh.dev/other": "x"},
                "ownerReferences": [owner("a", false), owner(&"b".repeat(1000), true), owner("c", true)],
                "finalizers": vec!["a/b"; 1000],
            },
        });
        let event: WatchEvent<Meta> = serde_json::from_value(json!({"type": "ADDED", "object": object})).unwrap();
        let WatchEvent::Added(found) = event else { panic!("{event:?}") };
        assert_eq!((found.name_any().as_str(), found.namespace().as_deref()), ("a", Some("shop")));
        assert_eq!((found.uid().as_deref(), found.resource_version().as_deref()), (Some("u"), Some("7")));
        assert_eq!(found.metadata.generation, Some(3));
        assert_eq!(found.creation_timestamp().unwrap().0.as_second(), 1_767_225_600);
        assert_eq!(found.metadata.deletion_timestamp.as_ref().unwrap().0, Timestamp::MAX);
        assert_eq!(*found.labels(), [("recmesh.dev/recommender".to_owned(), "movies".to_owned())].into());
        assert_eq!(*found.annotations(), [("recmesh.dev/promote".to_owned(), "é".repeat(512))].into());
        let owners: Vec<&str> = found.owner_references().iter().map(|owner| owner.name.as_str()).collect();
        assert_eq!((owners, found.finalizers().len()), (vec!["c"], FINALIZERS_MAX + 1));
        assert_eq!(found.metadata.managed_fields, None);
    }

    #[test]
    fn absent_and_null_fields_are_those_of_an_empty_object() {
        let nulls = json!({"labels": null, "annotations": null, "ownerReferences": null, "creationTimestamp": null});
        for object in [json!({}), json!({"metadata": {}}), json!({"metadata": null}), json!({"metadata": nulls})] {
            let found: Meta = serde_json::from_value(object).unwrap();
            assert_eq!(found.metadata, ObjectMeta::default());
        }
    }
}

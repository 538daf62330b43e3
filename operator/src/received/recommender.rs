//! A Recommender, or what is known of one that cannot be parsed or is larger than a valid one.

use std::{borrow::Cow, io};

use kube::{Resource, api::ObjectMeta, core::NamespaceResourceScope};
use recommender_crds::{Recommender, RecommenderSpec, RecommenderStatus, ServingSpec};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::metadata::{FINALIZERS_MAX, metadata};

/// Max bytes of a spec as JSON. `kubectl apply` stores it in an annotation, of which an object may
/// have as many bytes.
const SPEC_BYTES_MAX: usize = 256 * 1024;

/// A Recommender of the API server. One that cannot be parsed, for example one stored under another
/// version of the CRD, does not stop the others.
#[derive(Clone, Debug)]
pub struct ReceivedRecommender(pub Result<Recommender, Box<InvalidObject>>);

/// An object that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidObject {
    /// What is wrong.
    pub problem: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
}

impl ReceivedRecommender {
    /// Drops what no watch needs: the passes read a Recommender again.
    pub fn reduce(&mut self) {
        let Ok(recommender) = &mut self.0 else { return };
        recommender.spec.serving = ServingSpec::default();
        let status = recommender.status.take();
        recommender.status = status.map(|status| RecommenderStatus {
            observed_generation: status.observed_generation,
            ..RecommenderStatus::default()
        });
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    spec: Value,
    status: Option<Value>,
}

impl<'de> Deserialize<'de> for ReceivedRecommender {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Shape { metadata, spec, status } = Shape::deserialize(deserializer)?;
        Ok(Self(match parse(&metadata, spec, status) {
            Ok((spec, status)) => Ok(Recommender { metadata, spec, status }),
            Err(problem) => Err(Box::new(InvalidObject { problem, metadata })),
        }))
    }
}

fn parse(
    metadata: &ObjectMeta,
    spec: Value,
    status: Option<Value>,
) -> Result<(RecommenderSpec, Option<RecommenderStatus>), String> {
    if metadata.finalizers.as_ref().is_some_and(|finalizers| finalizers.len() > FINALIZERS_MAX) {
        return Err(format!("metadata.finalizers: expected at most {FINALIZERS_MAX}; remove those of no program"));
    }
    if !is_within(&spec, SPEC_BYTES_MAX) {
        return Err(format!(
            "spec: expected at most {SPEC_BYTES_MAX} bytes of JSON; shorten the longest lists, such as serving.allowFrom"
        ));
    }
    let spec = RecommenderSpec::deserialize(spec).map_err(|error| format!("spec: {error}"))?;
    let status = status.map(RecommenderStatus::deserialize).transpose();
    Ok((spec, status.map_err(|error| format!("status: {error}"))?))
}

/// Whether a value has at most this many bytes as JSON.
fn is_within(value: &Value, bytes_max: usize) -> bool {
    value.serialize(&mut serde_json::Serializer::new(Remaining(bytes_max))).is_ok()
}

/// Takes this many bytes.
struct Remaining(usize);

impl io::Write for Remaining {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Resource for ReceivedRecommender {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Recommender::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Recommender::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Recommender::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Recommender::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, Recommender::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, Recommender::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use kube::{ResourceExt as _, core::WatchEvent};
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
            "metadata": {
                "name": "movies", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2,
                "annotations": {"recmesh.dev/retrain-at": "1"},
                "managedFields": [{"manager": "kubectl", "time": "9999-12-31T23:59:59Z"}],
            },
            "spec": {"data": {"source": {"url": "s3://x/y.csv"}}, "serving": {"replicas": 3}, "store": {"url": "s3://x"}},
            "status": {"observedGeneration": 2, "replicas": 3},
        })
    }

    fn received(object: &Value) -> ReceivedRecommender {
        let event = json!({"type": "MODIFIED", "object": object}).to_string();
        match serde_json::from_str(&event).unwrap() {
            WatchEvent::Modified(received) => received,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_valid_one_is_what_its_json_states_without_managed_fields() {
        let mut plain = object();
        plain["metadata"].as_object_mut().unwrap().remove("managedFields");
        let expected: Recommender = serde_json::from_value(plain).unwrap();
        let mut found = received(&object());
        assert_eq!(found.0.as_ref().unwrap(), &expected);
        found.reduce();
        let reduced = found.0.unwrap();
        assert_eq!((&reduced.metadata, &reduced.spec.store), (&expected.metadata, &expected.spec.store));
        assert_eq!(crate::rest::facts(&reduced), crate::rest::facts(&expected));
        assert_eq!(reduced.spec.serving, ServingSpec::default());
    }

    #[test]
    fn one_that_cannot_be_used_has_its_metadata_and_what_is_wrong() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 4] = [
            ("spec: ", |object| object["spec"]["serving"] = json!({"replicas": "three"})),
            ("status: ", |object| object["status"]["replicas"] = json!("three")),
            ("metadata.finalizers: expected at most 64", |object| {
                object["metadata"]["finalizers"] = json!(vec!["a/b"; FINALIZERS_MAX + 1]);
            }),
            ("spec: expected at most 262144 bytes", |object| {
                let labels: serde_json::Map<String, Value> = (0..40_000).map(|n| (n.to_string(), json!(""))).collect();
                object["spec"]["serving"] = json!({"allowFrom": [{"podSelector": {"matchLabels": labels}}]});
            }),
        ];
        for (problem, change) in cases {
            let mut object = object();
            change(&mut object);
            let found = received(&object);
            assert_eq!((found.name_any().as_str(), found.uid().as_deref()), ("movies", Some("u")), "{problem}");
            assert_eq!((found.namespace().as_deref(), found.resource_version().as_deref()), (Some("shop"), Some("7")));
            let invalid = found.0.unwrap_err();
            assert!(invalid.problem.starts_with(problem), "{invalid}");
        }
    }
}

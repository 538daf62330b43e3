//! The CustomResourceDefinition: the derived schema with what Rust types cannot say: defaults as objects, how lists merge,
//! and the rules.
#![expect(clippy::indexing_slicing, reason = "places are in the schema, which every test here makes sure of")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value, json};

use crate::{Recommender, not_yet::NOT_YET, rules::RULES, rules::Rule};

/// Largest CRD file in bytes; client-side `kubectl apply` keeps a copy in an annotation of at most 256 KiB.
pub const CRD_BYTES_MAX: usize = 100 * 1024;

/// Objects of which one manager sets all fields or none: where exactly one field may be set, merging two managers' fields,
/// or a new choice with the defaults of the old, would set two.
const CHOICES: [&str; 3] = ["spec.data.source", "spec.data.items.source", "spec.algorithm"];
/// Lists of which several managers may own entries, and the field that tells entries apart.
const KEYED_LISTS: [(&str, &str); 2] =
    [("spec.serving.imagePullSecrets", "name"), ("spec.training.imagePullSecrets", "name")];
/// Maps whose values are label values.
const LABEL_MAPS: [&str; 4] =
    ["spec.serving.labels", "spec.training.labels", "spec.serving.nodeSelector", "spec.training.nodeSelector"];
/// Longest text of Kubernetes' own types, where they name no limit; rules over unlimited text are refused for their cost.
const FOREIGN_TEXT_CHARS_MAX: u32 = 253;

/// The definition that `crds/recommenders.yaml` holds.
///
/// # Panics
/// Never: what a table here names is in the schema, which a test makes sure of.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(Recommender::crd()).expect("a definition is JSON");
    let root = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").expect("the derive writes a schema");
    tidy(root);
    for place in CHOICES {
        object_at(root, place).insert("x-kubernetes-map-type".into(), "atomic".into());
    }
    for (place, key) in KEYED_LISTS {
        let list = object_at(root, place);
        list.insert("x-kubernetes-list-type".into(), "map".into());
        list.insert("x-kubernetes-list-map-keys".into(), json!([key]));
    }
    for place in LABEL_MAPS {
        let values =
            json!({"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"});
        object_at(root, place).insert("additionalProperties".into(), values);
    }
    for place in ["spec.serving.annotations", "spec.training.annotations"] {
        object_at(root, place).insert("additionalProperties".into(), json!({"type": "string", "maxLength": 4096}));
    }
    for place in ["spec.serving.allowFrom", "spec.serving.tolerations", "spec.training.tolerations"] {
        bound_text(&mut object_at(root, place)["items"]);
    }
    finish_status(root);
    for Rule { at, rule, message } in RULES.iter().chain(NOT_YET) {
        for place in *at {
            let rules = object_at(root, place).entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            rules.as_array_mut().expect("rules are a list").push(json!({"rule": rule, "message": message}));
        }
    }
    serde_json::from_value(crd).expect("what is added is part of a definition")
}

/// [`crd()`] as the file holds it.
///
/// # Panics
/// Never: a definition is YAML.
pub fn crd_yaml() -> String {
    let yaml = serde_yaml_ng::to_string(&crd()).expect("a definition is YAML");
    format!("# Made by `cargo run -p recommender-crds --bin crdgen`.\n{yaml}")
}

/// Makes every node what the API server and `kubectl explain` like: no nulls, no number formats that it does not know,
/// flowing text, and lists that are replaced whole.
fn tidy(node: &mut Value) {
    let Some(fields) = node.as_object_mut() else { return };
    fields.remove("nullable");
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
    if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        fields.insert("format".into(), "int64".into());
    }
    if let Some(Value::String(description)) = fields.get_mut("description") {
        *description = description.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    if fields.get("type").is_some_and(|kind| kind == "array") {
        fields.entry("x-kubernetes-list-type").or_insert_with(|| "atomic".into());
    }
    for_each_child(fields, tidy);
}

/// The status: no defaults inside, since only the operator writes it, and one for the whole that says "not seen yet".
fn finish_status(root: &mut Value) {
    fn without_defaults(node: &mut Value) {
        let Some(fields) = node.as_object_mut() else { return };
        fields.remove("default");
        for_each_child(fields, without_defaults);
    }
    let status = &mut root["properties"]["status"];
    without_defaults(status);
    status["default"] = json!({"observedGeneration": -1});
    status["properties"]["history"]["items"]["required"] = json!(["run"]);
}

fn bound_text(node: &mut Value) {
    let Some(fields) = node.as_object_mut() else { return };
    if fields.get("type").is_some_and(|kind| kind == "string") {
        fields.entry("maxLength").or_insert_with(|| FOREIGN_TEXT_CHARS_MAX.into());
    }
    for_each_child(fields, bound_text);
}

fn for_each_child(fields: &mut Map<String, Value>, change: fn(&mut Value)) {
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(change);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = fields.get_mut(key) {
            change(child);
        }
    }
}

fn object_at<'a>(root: &'a mut Value, place: &str) -> &'a mut Map<String, Value> {
    let mut node = root;
    for name in place.split('.').filter(|name| !name.is_empty()) {
        node = &mut node["properties"][name];
    }
    node.as_object_mut().unwrap_or_else(|| unreachable!("{place} is in the schema"))
}

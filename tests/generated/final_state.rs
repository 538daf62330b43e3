//! Final state of a Recommender, without fields that differ between equivalent states.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;
use serde_json::{Map, Value, json};
use sidecar_contract::paths;

use crate::fake_cluster::{KINDS, children, recommenders, selector};

/// State of a Recommender and its children. Equivalent states are equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinalState {
    /// Children by kind and name. Of the Jobs only the newest one that trains unconditionally, that
    /// is, even if the data is unchanged.
    pub children: BTreeMap<String, Value>,
    /// Served revision, from the serving config.
    pub serving: Value,
    /// Status and reason of each condition, by type.
    pub conditions: BTreeMap<String, String>,
    /// Other fields of the status, and the finalizers.
    pub other: Value,
}

/// Returns the state of a Recommender; the default if it does not exist.
pub async fn final_state(client: &Client, (namespace, name): (&str, &str)) -> Result<FinalState> {
    let Some(object) = recommenders(client, Some(namespace)).get_opt(name).await? else {
        return Ok(FinalState::default());
    };
    let mut state = FinalState::default();
    let status = &object.data["status"];
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        state.conditions.insert(text("type"), format!("{} {}", text("status"), text("reason")));
    }
    let (mut model, last) = (status["model"].clone(), &status["lastRun"]);
    drop_fields(&mut model, &["run", "trainedAt"]);
    state.other = json!({
        "finalizers": object.metadata.finalizers,
        "model": model,
        "metric": status["metric"],
        "lastRun": {"outcome": last["outcome"], "reason": last["reason"], "attempt": last["attempt"]},
        "failures": status["failures"],
        "selector": status["selector"],
        "replicas": status["replicas"],
        "hasNextRun": !status["nextRunTime"].is_null(),
    });
    for kind in KINDS {
        let found = children(client, kind, Some(namespace)).list(&selector(name)).await?;
        let objects = found.items.into_iter().filter_map(|item| serde_json::to_value(item).ok());
        if kind.2 == "Job" {
            let newest =
                objects.filter(|job| training_config(job)["knownDataVersion"].is_null()).max_by_key(run_number);
            state.children.extend(newest.map(|newest| ("Job".to_owned(), job(&newest))));
            continue;
        }
        for object in objects {
            let key = format!("{} {}", kind.2, object["metadata"]["name"].as_str().unwrap_or_default());
            if kind.2 == "ConfigMap" {
                state.serving = served_revision(&object);
            }
            state.children.insert(key, child(kind.2, &object));
        }
    }
    let json = json!([state.children, state.other, state.serving]).to_string();
    let json = json.replace(name, "NAME").replace(namespace, "NAMESPACE");
    (state.children, state.other, state.serving) = serde_json::from_str(&json)?;
    Ok(state)
}

fn child(kind: &str, object: &Value) -> Value {
    let mut content = match kind {
        "ConfigMap" => {
            let mut config = serving_config(object);
            drop_fields(&mut config, &["revisions", "loadsFirst"]); // compared as `serving`
            config
        }
        // The keys only; the values are derived from names.
        "Secret" => json!(object["data"].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>())),
        "Deployment" => object["spec"].clone(),
        "ServiceAccount" => object["automountServiceAccountToken"].clone(),
        _ => {
            let mut spec = object["spec"].clone();
            drop_fields(&mut spec, &["clusterIP", "clusterIPs"]);
            spec
        }
    };
    drop_everywhere(&mut content, &["creationTimestamp"]);
    json!({"labels": object["metadata"]["labels"], "content": content})
}

fn serving_config(map: &Value) -> Value {
    let text = map["data"][paths::SERVING_CONFIG_FILE].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

fn served_revision(map: &Value) -> Value {
    let mut desired = serving_config(map)["revisions"][0].clone();
    drop_fields(&mut desired, &["trainedAt"]);
    desired
}

/// Returns the training config in a Job.
pub fn training_config(job: &Value) -> Value {
    let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let config = env.as_array().into_iter().flatten().find(|variable| variable["name"] == paths::TRAINING_CONFIG_ENV);
    config.and_then(|config| serde_json::from_str(config["value"].as_str()?).ok()).unwrap_or_default()
}

fn run_number(job: &Value) -> u64 {
    job["metadata"]["labels"]["recmesh.dev/run"].as_str().and_then(|run| run.parse().ok()).unwrap_or(0)
}

fn job(job: &Value) -> Value {
    let mut config = training_config(job);
    drop_fields(&mut config, &["decidedAt", "incumbent"]);
    config["run"]["number"] = Value::Null;
    let mut content = json!({"labels": job["metadata"]["labels"], "spec": job["spec"], "config": config});
    let env = &mut content["spec"]["template"]["spec"]["containers"][0]["env"];
    if let Some(env) = env.as_array_mut() {
        env.retain(|variable| variable["name"] != paths::TRAINING_CONFIG_ENV);
    }
    let specific_to_job = [
        "recmesh.dev/run",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "job-name",
        "batch.kubernetes.io/job-name",
        "creationTimestamp",
    ];
    drop_everywhere(&mut content, &specific_to_job);
    content
}

fn drop_fields(value: &mut Value, names: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !names.contains(&name.as_str()));
    }
}

fn drop_everywhere(value: &mut Value, names: &[&str]) {
    drop_fields(value, names);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| drop_everywhere(value, names)),
        Value::Array(items) => items.iter_mut().for_each(|value| drop_everywhere(value, names)),
        _ => {}
    }
}

/// Returns the paths at which two states differ, in human-readable form.
pub fn difference(actual: &FinalState, expected: &FinalState) -> String {
    let mut lines = Vec::new();
    let document = |state: &FinalState| {
        json!({
            "children": state.children, "serving": state.serving, "conditions": state.conditions, "other": state.other,
        })
    };
    compare("", &document(actual), &document(expected), &mut lines);
    lines.truncate(12);
    lines.join("\n")
}

fn compare(path: &str, actual: &Value, expected: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(left), Value::Object(right)) = (actual, expected) {
        let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for name in names {
            let field = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
            compare(&format!("{path}/{name}"), &field(left), &field(right), lines);
        }
    } else if actual != expected {
        lines.push(format!("{path}: {actual}; expected {expected}"));
    }
}

//! Where a Recommender's life has come to, without what differs between two lives that led there.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;
use serde_json::{Map, Value, json};
use sidecar_contract::paths;

use crate::world::{KINDS, children, of, recommenders};

/// A Recommender and its children, in words that are equal for equal ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Children by kind and name; of Jobs the newest that was to make a model, whatever the data.
    pub children: BTreeMap<String, Value>,
    /// Which revision serves, and what of it.
    pub serves: Value,
    /// Conditions: status and reason by type.
    pub conditions: BTreeMap<String, String>,
    /// The rest of the status, and the finalizers.
    pub rest: Value,
}

/// What is there of a Recommender.
pub async fn end(client: &Client, (namespace, name): (&str, &str)) -> Result<End> {
    let Some(object) = recommenders(client, Some(namespace)).get_opt(name).await? else { return Ok(End::default()) };
    let mut end = End::default();
    let status = &object.data["status"];
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        end.conditions.insert(text("type"), format!("{} {}", text("status"), text("reason")));
    }
    let (mut model, last) = (status["model"].clone(), &status["lastRun"]);
    drop_fields(&mut model, &["run", "trainedAt"]);
    end.rest = json!({
        "finalizers": object.metadata.finalizers,
        "model": model,
        "metric": status["metric"],
        "lastRun": {"outcome": last["outcome"], "reason": last["reason"], "attempt": last["attempt"]},
        "failures": status["failures"],
        "selector": status["selector"],
        "replicas": status["replicas"],
        "runs again": !status["nextRunTime"].is_null(),
    });
    for kind in KINDS {
        let found = children(client, kind, Some(namespace)).list(&of(name)).await?;
        let objects = found.items.into_iter().filter_map(|item| serde_json::to_value(item).ok());
        if kind.2 == "Job" {
            let newest = objects.filter(|job| instructions(job)["knownDataVersion"].is_null()).max_by_key(run);
            end.children.extend(newest.map(|newest| ("Job".to_owned(), job(&newest))));
            continue;
        }
        for object in objects {
            let key = format!("{} {}", kind.2, object["metadata"]["name"].as_str().unwrap_or_default());
            if kind.2 == "ConfigMap" {
                end.serves = serves(&object);
            }
            end.children.insert(key, child(kind.2, &object));
        }
    }
    let json = json!([end.children, end.rest, end.serves]).to_string();
    let json = json.replace(name, "NAME").replace(namespace, "NAMESPACE");
    (end.children, end.rest, end.serves) = serde_json::from_str(&json)?;
    Ok(end)
}

fn child(kind: &str, object: &Value) -> Value {
    let mut what = match kind {
        "ConfigMap" => {
            let mut config = serving_config(object);
            drop_fields(&mut config, &["revisions", "loadsFirst"]); // apart, in `serves`
            config
        }
        // Keys alone: values are derived from names.
        "Secret" => json!(object["data"].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>())),
        "Deployment" => object["spec"].clone(),
        "ServiceAccount" => object["automountServiceAccountToken"].clone(),
        _ => {
            let mut spec = object["spec"].clone();
            drop_fields(&mut spec, &["clusterIP", "clusterIPs"]);
            spec
        }
    };
    drop_everywhere(&mut what, &["creationTimestamp"]);
    json!({"labels": object["metadata"]["labels"], "what": what})
}

fn serving_config(map: &Value) -> Value {
    let text = map["data"][paths::SERVING_CONFIG_FILE].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

fn serves(map: &Value) -> Value {
    let mut desired = serving_config(map)["revisions"][0].clone();
    drop_fields(&mut desired, &["trainedAt"]);
    desired
}

/// The trainer's instructions in a Job.
pub fn instructions(job: &Value) -> Value {
    let env = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let config = env.as_array().into_iter().flatten().find(|variable| variable["name"] == paths::TRAINING_CONFIG_ENV);
    config.and_then(|config| serde_json::from_str(config["value"].as_str()?).ok()).unwrap_or_default()
}

fn run(job: &Value) -> u64 {
    job["metadata"]["labels"]["recmesh.dev/run"].as_str().and_then(|run| run.parse().ok()).unwrap_or(0)
}

fn job(job: &Value) -> Value {
    let mut config = instructions(job);
    drop_fields(&mut config, &["decidedAt", "incumbent"]);
    config["run"]["number"] = Value::Null;
    let mut what = json!({"labels": job["metadata"]["labels"], "spec": job["spec"], "config": config});
    let env = &mut what["spec"]["template"]["spec"]["containers"][0]["env"];
    if let Some(env) = env.as_array_mut() {
        env.retain(|variable| variable["name"] != paths::TRAINING_CONFIG_ENV);
    }
    let own = [
        "recmesh.dev/run",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "job-name",
        "batch.kubernetes.io/job-name",
        "creationTimestamp",
    ];
    drop_everywhere(&mut what, &own);
    what
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

/// The places where two ends differ, for people.
pub fn difference(is: &End, should: &End) -> String {
    let mut lines = Vec::new();
    let whole = |end: &End| json!({"children": end.children, "serves": end.serves, "conditions": end.conditions, "rest": end.rest});
    compare("", &whole(is), &whole(should), &mut lines);
    lines.truncate(12);
    lines.join("\n")
}

fn compare(path: &str, is: &Value, should: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(left), Value::Object(right)) = (is, should) {
        let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for name in names {
            let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
            compare(&format!("{path}/{name}"), &of(left), &of(right), lines);
        }
    } else if is != should {
        lines.push(format!("{path}: {is}, and should be {should}"));
    }
}

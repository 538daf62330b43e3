//! The state that a user sees of a Recommender, without what differs between two runs of one story.

use anyhow::Result;
use e2e::Namespace;
use serde_json::{Value, json};

const KINDS: [&str; 8] =
    ["configmap", "deployment", "service", "serviceaccount", "secret", "poddisruptionbudget", "networkpolicy", "job"];

/// What is there, in words that are equal for equal ends.
pub fn state(namespace: &Namespace) -> Result<Value> {
    let mut objects = Vec::new();
    for kind in KINDS {
        for object in namespace.list(kind, "recmesh.dev/recommender")? {
            objects.push(child(kind, &object));
        }
    }
    let mut pods = Vec::new();
    for pod in namespace.list("pods", "app.kubernetes.io/component=serving")? {
        let ready = pod["status"]["containerStatuses"][0]["ready"] == true;
        if pod["metadata"]["deletionTimestamp"].is_null() {
            pods.push(json!({"ready": ready}));
        }
    }
    let recommenders: Value = serde_json::from_str(&namespace.kubectl(&["get", "recommenders", "-o", "json"])?)?;
    let recommenders: Vec<Value> = recommenders["items"].as_array().into_iter().flatten().map(recommender).collect();
    let all = json!({"recommenders": recommenders, "objects": objects, "pods": pods});
    Ok(serde_json::from_str(&all.to_string().replace(&namespace.name, "NAMESPACE"))?)
}

fn child(kind: &str, object: &Value) -> Value {
    let owner = &object["metadata"]["ownerReferences"][0];
    let what = match kind {
        "configmap" => {
            let text = object["data"]["serving.json"].as_str().unwrap_or_default();
            let mut config: Value = serde_json::from_str(text).unwrap_or_default();
            for revision in config["revisions"].as_array_mut().into_iter().flatten() {
                revision["trainedAt"] = Value::Null; // the clock's
            }
            config
        }
        "deployment" => json!({"spec": object["spec"], "available": object["status"]["availableReplicas"]}),
        "service" => json!({"ports": object["spec"]["ports"], "selector": object["spec"]["selector"]}),
        "secret" => object["data"].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>()).into(),
        "job" => {
            json!({"run": object["metadata"]["labels"]["recmesh.dev/run"], "succeeded": object["status"]["succeeded"]})
        }
        _ => object["spec"].clone(),
    };
    json!({"kind": kind, "name": object["metadata"]["name"], "owner": owner["name"], "what": what})
}

fn recommender(object: &Value) -> Value {
    let status = &object["status"];
    let conditions: Vec<String> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| format!("{} {} {}", c["type"], c["status"], c["reason"]))
        .collect();
    json!({
        "name": object["metadata"]["name"],
        "finalizers": object["metadata"]["finalizers"],
        "spec": object["spec"],
        "seen": status["observedGeneration"] == object["metadata"]["generation"],
        "conditions": conditions,
        "revision": status["model"]["revision"],
        "run": status["lastRun"]["number"],
        "outcome": status["lastRun"]["outcome"],
        "history": status["history"].as_array().into_iter().flatten().map(|h| h["revision"].clone()).collect::<Vec<_>>(),
        "loaded": status["loadedReplicas"],
    })
}

/// The same, without which run it was: one that is killed may be tried again under the next number, by a Job of its own.
pub fn whatever_run(mut state: Value) -> Value {
    if let Some(objects) = state["objects"].as_array_mut() {
        objects.retain(|object| object["kind"] != "job");
    }
    for recommender in state["recommenders"].as_array_mut().into_iter().flatten() {
        recommender["run"] = Value::Null;
    }
    state
}

/// The first places where two states differ, for people.
pub fn difference(left: &Value, right: &Value) -> String {
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (left, right) = (lines(left), lines(right));
    let right: Vec<&str> = right.lines().collect();
    let mut differing = left.lines().filter(|line| !right.contains(line)).take(12).collect::<Vec<_>>().join("\n");
    if differing.is_empty() {
        "only the order or number of lines".clone_into(&mut differing);
    }
    differing
}

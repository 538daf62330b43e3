//! User-visible state of a Recommender, without fields that differ between two runs of a scenario.

use anyhow::{Result, ensure};
use e2e::{Namespace, commands::Commands, proxy::Proxy, wait};
use serde_json::{Value, json};

use crate::NAME;

const KINDS: [&str; 8] =
    ["configmap", "deployment", "service", "serviceaccount", "secret", "poddisruptionbudget", "networkpolicy", "job"];

/// Returns the state of a namespace. Equivalent final states give equal values.
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

/// Returns the state when all Jobs have ended, all pods are ready, and a complete reconcile changes
/// nothing.
pub async fn settled_state(namespace: &Namespace, proxy: &Proxy) -> Result<Value> {
    wait::until_async("a reconcile changes nothing", async || {
        let before = state(namespace)?;
        let running = running_jobs(&namespace.cluster.commands, &namespace.name)?;
        ensure!(running.is_empty(), "running Jobs: {running:?}");
        ensure!(all_pods_are_ready(&before), "{}", before["pods"]);
        if !exists(namespace)? {
            return Ok(before);
        }
        proxy.wait_reconciled(&namespace.name, NAME).await?;
        let after = state(namespace)?;
        ensure!(after == before, "a reconcile made changes:\n{}", difference(&after, &before));
        Ok(after)
    })
    .await
}

/// Whether each Deployment has as many available pods as it should, and no others exist.
fn all_pods_are_ready(state: &Value) -> bool {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let deployments = state["objects"].as_array().into_iter().flatten().filter(|object| object["kind"] == "deployment");
    let counts = deployments
        .map(|object| (number(&object["content"]["spec"]["replicas"]), number(&object["content"]["available"])));
    let (desired, available) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let pods: Vec<&Value> = state["pods"].as_array().into_iter().flatten().collect();
    desired == available && desired == pods.len() as u64 && pods.iter().all(|pod| pod["ready"] == true)
}

/// Whether the Recommender exists.
pub fn exists(namespace: &Namespace) -> Result<bool> {
    Ok(!namespace.kubectl(&["get", "recommender", NAME, "--ignore-not-found", "-o", "name"])?.is_empty())
}

/// Returns the names of the training Jobs that have not ended.
pub fn running_jobs(commands: &Commands, namespace: &str) -> Result<Vec<String>> {
    let arguments = ["-n", namespace, "get", "jobs", "-l", "recmesh.dev/recommender", "-o", "json"];
    let jobs: Value = serde_json::from_str(&commands.kubectl(&arguments)?)?;
    let has_ended = |job: &Value| {
        let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .filter(|condition| condition["status"] == "True")
            .any(|c| c["type"] == "Complete" || c["type"] == "Failed")
    };
    let running = jobs["items"].as_array().into_iter().flatten().filter(|job| !has_ended(job));
    Ok(running.map(|job| job["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect())
}

fn child(kind: &str, object: &Value) -> Value {
    let owner = &object["metadata"]["ownerReferences"][0];
    let content = match kind {
        "configmap" => {
            let text = object["data"]["serving.json"].as_str().unwrap_or_default();
            let mut config: Value = serde_json::from_str(text).unwrap_or_default();
            for revision in config["revisions"].as_array_mut().into_iter().flatten() {
                revision["trainedAt"] = Value::Null; // depends on the clock
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
    json!({"kind": kind, "name": object["metadata"]["name"], "owner": owner["name"], "content": content})
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
        "observed": status["observedGeneration"] == object["metadata"]["generation"],
        "conditions": conditions,
        "revision": status["model"]["revision"],
        "run": status["lastRun"]["number"],
        "outcome": status["lastRun"]["outcome"],
        "history": status["history"].as_array().into_iter().flatten().map(|h| h["revision"].clone()).collect::<Vec<_>>(),
        "loaded": status["loadedReplicas"],
    })
}

/// Removes run numbers and Jobs from a state: a killed run is retried under the next number, by
/// another Job.
pub fn ignore_run_number(mut state: Value) -> Value {
    if let Some(objects) = state["objects"].as_array_mut() {
        objects.retain(|object| object["kind"] != "job");
    }
    for recommender in state["recommenders"].as_array_mut().into_iter().flatten() {
        recommender["run"] = Value::Null;
    }
    state
}

/// Returns the first lines of `left` that `right` does not have, in human-readable form.
pub fn difference(left: &Value, right: &Value) -> String {
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (left, right) = (lines(left), lines(right));
    let right: Vec<&str> = right.lines().collect();
    let mut differing = left.lines().filter(|line| !right.contains(line)).take(12).collect::<Vec<_>>().join("\n");
    if differing.is_empty() {
        "only the order or the number of lines differs".clone_into(&mut differing);
    }
    differing
}

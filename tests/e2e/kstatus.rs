//! The status that deployment tools compute (kstatus in Argo, Flux and kpt; `kubectl wait`) agrees
//! with the served model at each step of a Recommender's lifecycle.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::{Value, json};

use crate::data::{recommender, two_groups};

const NAME: &str = "movies";

/// Returns the kstatus of an object: InProgress, Current, Failed or Terminating.
fn kstatus(object: &Value) -> Result<String> {
    let program =
        std::env::var_os("RECMESH_KSTATUS").context("RECMESH_KSTATUS is not set: run the tests with tests/run")?;
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("the child process has no stdin pipe")?.write_all(object.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace().next().map(str::to_owned).context("kstatus printed nothing")
}

struct Lifecycle<'a> {
    namespace: &'a Namespace,
}

impl Lifecycle<'_> {
    fn object(&self) -> Result<Value> {
        self.namespace.get("recommender", NAME)
    }

    fn patch(&self, patch: &Value) -> Result<()> {
        self.namespace.kubectl(&["patch", "recommender", NAME, "--type=merge", "-p", &patch.to_string()]).map(drop)
    }

    /// Waits until `condition` holds. Meanwhile kstatus must be one of `allowed`.
    async fn until(&self, what: &str, allowed: &[&str], condition: impl Fn(&Value) -> bool) -> Result<()> {
        let mut violation = None;
        wait::until(what, || {
            let object = self.object()?;
            let computed = kstatus(&object)?;
            if !allowed.contains(&computed.as_str()) {
                violation
                    .get_or_insert(format!("waiting until {what}: kstatus is {computed} for {}", object["status"]));
            }
            ensure!(violation.is_some() || condition(&object), "{computed}: {}", object["status"]);
            Ok(())
        })
        .await?;
        violation.map_or(Ok(()), |violation| Err(anyhow::anyhow!(violation)))
    }

    /// Checks kstatus, `kubectl wait` and the source of a recommendation. If the Recommender is not
    /// Ready, `kubectl wait` checks that once, because waiting for nothing proves nothing.
    async fn check(&self, expected: &str, is_ready: bool, source: Option<&str>) -> Result<()> {
        wait::until(&format!("kstatus is {expected}"), || {
            let object = self.object()?;
            ensure!(kstatus(&object)? == expected, "{}", object["status"]);
            Ok(())
        })
        .await?;
        let timeout = if is_ready { wait::timeout_argument() } else { "--timeout=0".to_owned() };
        let waited = self.namespace.kubectl(&["wait", "recommender", NAME, "--for=condition=Ready", &timeout]);
        ensure!(waited.is_ok() == is_ready, "kubectl wait: {waited:?}");
        let Some(source) = source else { return Ok(()) };
        wait::until_async(&format!("recommendations come from {source}"), async || {
            let response = self.namespace.recommend(NAME, &json!({"user": "user6", "n": 1})).await?;
            ensure!(response["items"][0]["source"] == source, "{response}");
            Ok(())
        })
        .await
    }
}

fn condition(object: &Value, kind: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == kind && c["status"] == status)
}

/// Returns the number of the last run; 0 while it is running.
fn finished_run(object: &Value) -> u64 {
    let ended = object["status"]["lastRun"]["outcome"] != "Running";
    if ended { object["status"]["lastRun"]["number"].as_u64().unwrap_or_default() } else { 0 }
}

#[tokio::test]
async fn kstatus_and_kubectl_wait_agree_with_the_served_model() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, &format!("kstatus-{}", std::process::id()))?;
    let lifecycle = Lifecycle { namespace: &namespace };
    let in_progress = ["InProgress", "Current"];
    namespace.config_map("visits", "visits.csv", &two_groups())?;

    // 1: The first model fails the gate. 2: The gate is lowered.
    let strict = recommender(NAME, 4, 1).replace("minLiftOverBaseline: -1", "minLiftOverBaseline: 10");
    namespace.apply(&strict)?;
    lifecycle
        .until("the quality gate fails", &["InProgress", "Failed"], |o| condition(o, "QualityGatePassed", "False"))
        .await?;
    lifecycle.check("Failed", false, Some("popular")).await?;
    namespace.apply(&recommender(NAME, 4, 1))?;
    lifecycle.check("Current", true, Some("model")).await?;
    // 3: Scale up.
    lifecycle.patch(&json!({"spec": {"serving": {"replicas": 2}}}))?;
    lifecycle.until("two pods have loaded the model", &in_progress, |o| o["status"]["loadedReplicas"] == 2).await?;
    lifecycle.check("Current", true, Some("model")).await?;
    // 4: Training without a spec change is never InProgress.
    lifecycle.patch(&json!({"metadata": {"annotations": {"recmesh.dev/retrain-at": "tonight"}}}))?;
    lifecycle.until("run 2 has finished", &["Current"], |o| finished_run(o) == 2).await?;
    lifecycle.check("Current", true, Some("model")).await?;
    // 5: Training after a spec change is InProgress.
    lifecycle.patch(&json!({"spec": {"algorithm": {"als": {"factors": 5}}}}))?;
    lifecycle
        .until("run 3 has finished", &in_progress, |o| finished_run(o) == 3 && condition(o, "Trained", "True"))
        .await?;
    lifecycle.check("Current", true, Some("model")).await?;
    // 6: Invalid data; the last good model keeps serving. 7: The data is fixed.
    lifecycle.patch(&json!({"spec": {"data": {"columns": {"user": "no_such_column"}}}}))?;
    lifecycle
        .until("the data is rejected", &["InProgress", "Current", "Failed"], |o| condition(o, "DataReady", "False"))
        .await?;
    lifecycle.check("Failed", true, Some("model")).await?;
    lifecycle.patch(&json!({"spec": {"data": {"columns": {"user": "user_id"}}}}))?;
    lifecycle.check("Current", true, Some("model")).await?;
    // 8: Pin of a revision that does not exist. 9: The pin is removed, and the Recommender is
    // suspended.
    lifecycle.patch(&json!({"spec": {"model": {"revision": "0123456789"}}}))?;
    lifecycle.check("Failed", true, Some("model")).await?;
    lifecycle.patch(&json!({"spec": {"model": null, "suspend": true}}))?;
    lifecycle.check("Current", true, Some("model")).await?;
    // 10: Resume and scale to zero. 11: Scale up again.
    lifecycle.patch(&json!({"spec": {"suspend": false, "serving": {"replicas": 0}}}))?;
    lifecycle.until("all pods are deleted", &in_progress, |o| o["status"]["replicas"] == 0).await?;
    lifecycle.check("Current", true, None).await?;
    lifecycle.patch(&json!({"spec": {"serving": {"replicas": 1}}}))?;
    lifecycle.until("one pod has loaded the model", &in_progress, |o| o["status"]["loadedReplicas"] == 1).await?;
    lifecycle.check("Current", true, Some("model")).await
}

//! What deployment tools (kstatus: Argo, Flux, kpt; and `kubectl wait`) say at each step of a life agrees with what serves.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::{Value, json};

use crate::data::{recommender, two_groups};

const NAME: &str = "movies";

/// The first word of kstatus about an object: InProgress, Current, Failed, Terminating.
fn kstatus(object: &Value) -> Result<String> {
    let program = std::env::var_os("RECMESH_KSTATUS").context("RECMESH_KSTATUS: see tests/run")?;
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin was asked for")?.write_all(object.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace().next().map(str::to_owned).context("kstatus said nothing")
}

struct Life<'a> {
    namespace: &'a Namespace,
}

impl Life<'_> {
    fn object(&self) -> Result<Value> {
        self.namespace.get("recommender", NAME)
    }

    fn patch(&self, patch: &Value) -> Result<()> {
        self.namespace.kubectl(&["patch", "recommender", NAME, "--type=merge", "-p", &patch.to_string()]).map(drop)
    }

    /// Waits for `holds`; on the way kstatus may say only what is allowed.
    async fn until(&self, what: &str, allowed: &[&str], holds: impl Fn(&Value) -> bool) -> Result<()> {
        let mut strange = None;
        wait::until(what, || {
            let object = self.object()?;
            let said = kstatus(&object)?;
            if !allowed.contains(&said.as_str()) {
                strange.get_or_insert(format!("{what}: kstatus says {said} of {}", object["status"]));
            }
            ensure!(strange.is_some() || holds(&object), "{said}: {}", object["status"]);
            Ok(())
        })
        .await?;
        strange.map_or(Ok(()), |strange| Err(anyhow::anyhow!(strange)))
    }

    /// What kstatus, `kubectl wait` and a request say agrees.
    async fn agrees(&self, said: &str, is_ready: bool, source: Option<&str>) -> Result<()> {
        wait::until(&format!("kstatus says {said}"), || {
            let object = self.object()?;
            ensure!(kstatus(&object)? == said, "{}", object["status"]);
            Ok(())
        })
        .await?;
        let waited = self.namespace.kubectl(&["wait", "recommender", NAME, "--for=condition=Ready", "--timeout=1s"]);
        ensure!(waited.is_ok() == is_ready, "kubectl wait: {waited:?}");
        let Some(source) = source else { return Ok(()) };
        wait::until_async("an answer", async || {
            let answer = self.namespace.recommend(NAME, &json!({"user": "user6", "n": 1})).await?;
            ensure!(answer["items"][0]["source"] == source, "{answer}");
            Ok(())
        })
        .await
    }
}

fn condition(object: &Value, kind: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == kind && c["status"] == status)
}

fn run(object: &Value) -> u64 {
    let ended = object["status"]["lastRun"]["outcome"] != "Running";
    if ended { object["status"]["lastRun"]["number"].as_u64().unwrap_or_default() } else { 0 }
}

#[tokio::test]
async fn kstatus_and_kubectl_wait_agree_with_what_serves() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, &format!("kstatus-{}", std::process::id()))?;
    let life = Life { namespace: &namespace };
    let begun = ["InProgress", "Current"];
    namespace.config_map("visits", "visits.csv", &two_groups())?;

    // 1: a first model that fails the gate; 2: the gate is lowered.
    let strict = recommender(NAME, 4, 1).replace("minLiftOverBaseline: -1", "minLiftOverBaseline: 10");
    namespace.apply(&strict)?;
    life.until("the gate says no", &["InProgress", "Failed"], |o| condition(o, "QualityGatePassed", "False")).await?;
    life.agrees("Failed", false, Some("popular")).await?;
    namespace.apply(&recommender(NAME, 4, 1))?;
    life.agrees("Current", true, Some("model")).await?;
    // 3: more pods.
    life.patch(&json!({"spec": {"serving": {"replicas": 2}}}))?;
    life.until("two pods answer", &begun, |o| o["status"]["loadedReplicas"] == 2).await?;
    life.agrees("Current", true, Some("model")).await?;
    // 4: training that nobody's change of the spec asked for is never progress.
    life.patch(&json!({"metadata": {"annotations": {"recmesh.dev/retrain-at": "tonight"}}}))?;
    life.until("run 2 ends", &["Current"], |o| run(o) == 2).await?;
    life.agrees("Current", true, Some("model")).await?;
    // 5: a new spec is.
    life.patch(&json!({"spec": {"algorithm": {"als": {"factors": 5}}}}))?;
    life.until("run 3 ends", &begun, |o| run(o) == 3 && condition(o, "Trained", "True")).await?;
    life.agrees("Current", true, Some("model")).await?;
    // 6: bad data, while the last good model answers; 7: mended.
    life.patch(&json!({"spec": {"data": {"columns": {"user": "nobody"}}}}))?;
    life.until("the data is refused", &["InProgress", "Current", "Failed"], |o| condition(o, "DataReady", "False"))
        .await?;
    life.agrees("Failed", true, Some("model")).await?;
    life.patch(&json!({"spec": {"data": {"columns": {"user": "user_id"}}}}))?;
    life.agrees("Current", true, Some("model")).await?;
    // 8: a pin that names nothing; 9: gone again, and suspended.
    life.patch(&json!({"spec": {"model": {"revision": "0123456789"}}}))?;
    life.agrees("Failed", true, Some("model")).await?;
    life.patch(&json!({"spec": {"model": null, "suspend": true}}))?;
    life.agrees("Current", true, Some("model")).await?;
    // 10: no pods; 11: pods again.
    life.patch(&json!({"spec": {"suspend": false, "serving": {"replicas": 0}}}))?;
    life.until("no pod is left", &begun, |o| o["status"]["replicas"] == 0).await?;
    life.agrees("Current", true, None).await?;
    life.patch(&json!({"spec": {"serving": {"replicas": 1}}}))?;
    life.until("one pod answers", &begun, |o| o["status"]["loadedReplicas"] == 1).await?;
    life.agrees("Current", true, Some("model")).await
}

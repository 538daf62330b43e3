//! A sidecar that the API server adds to the pods of an app.

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::Value;

use crate::data::{recommender, two_groups};

/// A Job that asks its own sidecar, by the address in its environment.
const JOB: &str = r#"apiVersion: batch/v1
kind: Job
metadata: {name: asks}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {recmesh.dev/inject: movies}}
    spec:
      restartPolicy: Never
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: asks
        image: localhost/recmesh/busybox:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        command: [sh, -c]
        args:
        - >-
          wget -q -O - --header 'content-type: application/json'
          --post-data '{"user": "user6", "n": 3}' "$RECMESH_URL/recommend"
"#;

#[tokio::test]
async fn a_job_asks_its_sidecar_and_completes() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "mesh")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    namespace.apply(JOB)?;
    namespace.kubectl(&["wait", "job/asks", "--for=condition=complete", &wait::timeout_argument()])?;
    let answer: Value = serde_json::from_str(&namespace.kubectl(&["logs", "job/asks", "--container=asks"])?)?;
    ensure!(answer["items"].as_array().is_some_and(|items| items.len() == 3), "{answer}");
    ensure!(answer["degraded"].is_null() && answer["items"][0]["source"] == "model", "{answer}");

    let pods = namespace.list("pods", "recmesh.dev/injected=true")?;
    let pod = pods.first().context("no pod has a sidecar")?;
    let sidecar = &pod["spec"]["initContainers"][0];
    ensure!(sidecar["name"] == "recmesh-proxy", "{pod}");
    let mounts = sidecar["volumeMounts"].as_array().context("no mounts")?;
    // The volume in place of the token of the app's account is the only one.
    ensure!(mounts.iter().all(|mount| mount["name"] == "recmesh-proxy-no-token"), "{mounts:?}");
    let ended = &pod["status"]["initContainerStatuses"][0]["state"]["terminated"];
    ensure!(ended["exitCode"] == 0, "{}", pod["status"]);
    Ok(())
}

//! A sidecar that the API server adds to the pods of an app.

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::Value;

use crate::{
    asking_job,
    data::{recommender, two_groups},
};

#[tokio::test]
async fn a_job_asks_its_sidecar_and_completes() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "mesh")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    asking_job::run(&namespace, "recmesh.dev/inject: movies")?;

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

/// An app that declares a port of the sidecar; `PORT` is an annotation that chooses another.
const TAKEN_PORT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, recmesh.dev/inject: movies}, annotations: {PORT}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: localhost/recmesh/busybox:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        command: [sleep, "3600"]
        ports: [{containerPort: 8088}]
"#;

#[tokio::test]
async fn a_deployment_whose_pods_cannot_have_a_sidecar_gets_an_event_and_is_counted() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "missed")?;
    let query = format!("recommender_operator_pods_without_sidecar{{namespace=\"{}\"}}", namespace.name);
    namespace.apply(&TAKEN_PORT.replace("PORT", ""))?;
    wait::until("an Event concerns the Deployment", || {
        let list: Value = serde_json::from_str(&namespace.kubectl(&["get", "events.events.k8s.io", "-o", "json"])?)?;
        let mut events = list["items"].as_array().into_iter().flatten();
        let event = events.find(|event| event["reason"] == "SidecarMissing").context("no Event")?;
        let uid = &namespace.get("deployment", "web")?["metadata"]["uid"];
        ensure!(event["regarding"]["kind"] == "Deployment" && event["regarding"]["uid"] == *uid, "{event}");
        let note = event["note"].as_str().context("no note")?;
        ensure!(note.contains("declares port 8088; choose another with annotation recmesh.dev/port"), "{note}");
        Ok(())
    })
    .await?;
    wait::until("both pods are counted", || {
        let series = cluster.prometheus(&query)?;
        let counted = series.first().context("no series")?;
        ensure!(counted["metric"]["reason"] == "not_possible" && counted["value"][1] == "2", "{series:?}");
        Ok(())
    })
    .await?;

    // What the Event asks for.
    namespace.apply(&TAKEN_PORT.replace("PORT", "recmesh.dev/port: \"8188\""))?;
    wait::until("both pods have a sidecar", || {
        let pods = namespace.list("pods", "recmesh.dev/injected=true")?;
        ensure!(pods.len() == 2, "{} pods have one", pods.len());
        Ok(())
    })
    .await?;
    wait::until("no pod is counted", || {
        let series = cluster.prometheus(&query)?;
        ensure!(series.is_empty(), "{series:?}");
        Ok(())
    })
    .await
}

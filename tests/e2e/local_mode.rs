//! An app whose sidecar holds the model: it needs no serving pod.

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::Value;

use crate::data::{recommender, two_groups};

/// An app that asks its sidecar every second and logs the answers.
const APP: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, recmesh.dev/inject: movies, recmesh.dev/mode: local}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: localhost/recmesh/busybox:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        command: [sh, -c]
        args:
        - >-
          while true; do
          wget -q -O - --header 'content-type: application/json'
          --post-data '{"user": "user6", "n": 3}' "$RECMESH_URL/recommend" && echo; sleep 1;
          done
"#;

/// The policy for such apps in namespaces that restrict egress.
fn documented_policy() -> Result<String> {
    let text = include_str!("../../docs/mesh.md");
    let begin = text.find("apiVersion: networking.k8s.io/v1").context("docs/mesh.md has no policy")?;
    let (policy, _) = text[begin..].split_once("```").context("the policy of docs/mesh.md does not end")?;
    Ok(policy.to_owned())
}

/// The last answer that the app of the running pod logged.
fn last_answer(namespace: &Namespace) -> Result<Value> {
    let log = namespace.kubectl(&["logs", "deployment/web", "--container=web", "--tail=20"])?;
    let mut lines = log.lines().rev();
    lines.find_map(|line| serde_json::from_str(line).ok()).with_context(|| format!("no answer in: {log}"))
}

#[tokio::test]
async fn an_app_in_local_mode_gets_answers_of_the_model_without_serving_pods() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "local-mode")?;
    namespace.apply(&documented_policy()?)?;
    // The app exists before the Recommender: it starts without config and credentials.
    namespace.apply(APP)?;
    namespace.kubectl(&["rollout", "status", "deployment/web", &wait::timeout_argument()])?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    wait::until("the sidecar has loaded the model", || {
        let log = namespace.kubectl(&["logs", "deployment/web", "--container=recmesh-proxy"])?;
        ensure!(log.contains("swapped in a model"), "{log}");
        Ok(())
    })
    .await?;

    namespace.apply(&recommender("movies", 4, 0))?;
    wait::until("there is no serving pod", || {
        let pods = namespace.list("pods", "recmesh.dev/recommender=movies,app.kubernetes.io/component=serving")?;
        ensure!(pods.is_empty(), "{} pods", pods.len());
        Ok(())
    })
    .await?;
    // A new pod, which has nothing of before.
    namespace.kubectl(&["delete", "pods", "--selector=app=web", "--wait=true"])?;
    let revision = namespace.get("recommender", "movies")?["status"]["model"]["revision"].clone();
    wait::until("the app gets answers of the model", || {
        let answer = last_answer(&namespace)?;
        ensure!(answer["degraded"].is_null() && answer["model"]["revision"] == revision, "{answer}");
        ensure!(answer["items"][0]["source"] == "model", "{answer}");
        Ok(())
    })
    .await
}

//! A Job of an app that asks the Recommender `movies` through its own sidecar.

use anyhow::{Result, ensure};
use e2e::{Namespace, wait};
use serde_json::Value;

/// A Job that asks its own sidecar, by the address in its environment, until it gets an answer of a
/// serving pod: NetworkPolicies and DNS may not know a new pod yet. The answer is its last line.
const JOB: &str = r#"apiVersion: batch/v1
kind: Job
metadata: {name: asks}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {LABELS}}
    spec:
      restartPolicy: Never
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: asks
        image: localhost/recmesh/busybox:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        command: [sh, -c]
        args:
        - |-
          ask() {
              wget -q -O - --header 'content-type: application/json' \
                  --post-data '{"user": "user6", "n": 3}' "$RECMESH_URL/recommend"
          }
          until answer=$(ask); case $answer in '' | *'"degraded"'*) false ;; esac; do
              echo "no answer of a serving pod: $answer"
              sleep 1
          done
          printf '%s\n' "$answer"
"#;

/// Runs the Job, whose pod has these labels. It must end with an answer of the model.
pub fn run(namespace: &Namespace, labels: &str) -> Result<()> {
    namespace.apply(&JOB.replace("LABELS", labels))?;
    namespace.kubectl(&["wait", "job/asks", "--for=condition=complete", &wait::timeout_argument()])?;
    let answer: Value =
        serde_json::from_str(&namespace.kubectl(&["logs", "job/asks", "--container=asks", "--tail=1"])?)?;
    ensure!(answer["items"].as_array().is_some_and(|items| items.len() == 3), "{answer}");
    ensure!(answer["degraded"].is_null() && answer["items"][0]["source"] == "model", "{answer}");
    Ok(())
}

//! A HorizontalPodAutoscaler with metrics-server scales a Recommender, and the operator applies its
//! replica count. How much CPU a pod gets does not matter: the target of the autoscaler is first
//! below and then above any usage. An autoscaler of an app whose pods have a sidecar works, too.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::json;

use crate::data::two_groups;

/// Number of concurrent clients. Each sends its next request after a response (closed loop).
const CLIENTS: usize = 8;
/// CPU target in percent of the request that any usage exceeds.
const TARGET_MIN: u64 = 1;
/// CPU target in percent of the request that no usage reaches: 10,000 CPUs.
const TARGET_MAX: u64 = 50_000_000;

const RECOMMENDER: &str = "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: busy}
spec:
  data: {source: {configMap: {name: visits, key: visits.csv}}}
  algorithm: {als: {factors: 4, iterations: 5}}
  evaluation: {gate: {minLiftOverBaseline: -1}}
  serving: {resources: {requests: {cpu: 20m, memory: 32Mi}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec:
  scaleTargetRef: {apiVersion: recmesh.dev/v1alpha1, kind: Recommender, name: busy}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: TARGET}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 5, policies: [{type: Pods, value: 3, periodSeconds: 5}]}}
";

fn recommender(target: u64) -> String {
    RECOMMENDER.replace("TARGET", &target.to_string())
}

#[tokio::test]
async fn autoscaler_scales_up_under_load_and_down_again() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "autoscaling")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender(TARGET_MAX))?;
    namespace.wait_ready("busy").await?;
    let spec_replicas = || -> Result<i64> {
        Ok(namespace.get("recommender", "busy")?["spec"]["serving"]["replicas"].as_i64().unwrap_or_default())
    };
    ensure!(spec_replicas()? == 1, "expected 1 replica at the start");

    let url = format!("{}/recommend", namespace.service_url("busy")?);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (url, http) = (url.clone(), cluster.http.clone());
            tokio::spawn(async move {
                loop {
                    // A new connection per request, so that the Service balances the load.
                    let request =
                        http.post(&url).header("connection", "close").json(&json!({"user": "user6", "n": 10}));
                    let _ = request.send().await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    namespace.apply(&recommender(TARGET_MIN))?;
    wait::until("the autoscaler scales up", || {
        ensure!(spec_replicas()? > 1, "{}", namespace.get("hpa", "busy")?["status"]);
        Ok(())
    })
    .await?;
    wait::until("the new pods have loaded the model", || {
        let status = &namespace.get("recommender", "busy")?["status"];
        ensure!(status["loadedReplicas"].as_i64() > Some(1), "{status}");
        Ok(())
    })
    .await?;
    // The manifest sets no replicas. Applying it again must not scale down, nor must the operator.
    namespace.apply(&recommender(TARGET_MIN).replace("cpu: 20m", "cpu: 21m"))?;
    namespace.wait_ready("busy").await?;
    let deployed = namespace.get("deployment", "busy")?["spec"]["replicas"].as_i64();
    ensure!(spec_replicas()? > 1 && deployed > Some(1), "{deployed:?}, {}", namespace.get("hpa", "busy")?["status"]);

    for client in &clients {
        client.abort();
    }
    namespace.apply(&recommender(TARGET_MAX).replace("cpu: 20m", "cpu: 21m"))?;
    wait::until("the autoscaler scales down", || {
        let deployment = namespace.get("deployment", "busy")?;
        let scaled_down = spec_replicas()? == 1 && deployment["spec"]["replicas"] == 1;
        ensure!(scaled_down, "{}", namespace.get("hpa", "busy")?["status"]);
        Ok(())
    })
    .await
}

/// An app that uses CPU, with a sidecar, and an autoscaler by the usage of its pods and of its own
/// container.
const APP: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, recmesh.dev/inject: movies}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: localhost/recmesh/busybox:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        resources: {requests: {cpu: 10m}, limits: {cpu: 100m}}
        command: [sh, -c, "while true; do :; done"]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 2
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 1}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: web, target: {type: Utilization, averageUtilization: 1}}}
"#;

#[tokio::test]
async fn autoscaler_scales_an_app_whose_pods_have_a_sidecar() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "autoscaled-app")?;
    namespace.apply(APP)?;
    // A container without a request would make the usage of the pods unknown.
    wait::until("the autoscaler knows both usages and scales up", || {
        let status = &namespace.get("hpa", "web")?["status"];
        let known = status["currentMetrics"].as_array().map_or(0, Vec::len);
        let injected = namespace.list("pods", "recmesh.dev/injected=true")?.len();
        ensure!(known == 2 && injected == 2, "{injected} pods with a sidecar, {status}");
        Ok(())
    })
    .await
}

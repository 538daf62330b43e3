//! A real HorizontalPodAutoscaler reads the real metrics-server, and the operator follows what it sets.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::json;

use crate::data::two_groups;

/// Askers at once; each asks as fast as it is answered.
const ASKERS: usize = 8;

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
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 100}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 5, policies: [{type: Pods, value: 3, periodSeconds: 5}]}}
";

#[tokio::test]
async fn an_autoscaler_adds_pods_under_load_and_takes_them_away() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "autoscaling")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(RECOMMENDER)?;
    namespace.wait_ready("busy").await?;
    let wanted = || -> Result<i64> {
        Ok(namespace.get("recommender", "busy")?["spec"]["serving"]["replicas"].as_i64().unwrap_or_default())
    };
    ensure!(wanted()? == 1, "starts with one");

    let url = format!("{}/recommend", namespace.service_url("busy")?);
    let asking: Vec<_> = (0..ASKERS)
        .map(|_| {
            let (url, http) = (url.clone(), cluster.http.clone());
            tokio::spawn(async move {
                loop {
                    // A new connection each time, so that the Service spreads them.
                    let ask = http.post(&url).header("connection", "close").json(&json!({"user": "user6", "n": 10}));
                    let _ = ask.send().await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    wait::until("the autoscaler asks for more pods", || {
        ensure!(wanted()? > 1, "{}", namespace.get("hpa", "busy")?["status"]);
        Ok(())
    })
    .await?;
    wait::until("they answer", || {
        let status = &namespace.get("recommender", "busy")?["status"];
        ensure!(status["loadedReplicas"].as_i64() > Some(1), "{status}");
        Ok(())
    })
    .await?;
    // The file again, without replicas: neither it nor the operator takes the pods away.
    namespace.apply(&RECOMMENDER.replace("cpu: 20m", "cpu: 21m"))?;
    namespace.wait_ready("busy").await?;
    let deployed = namespace.get("deployment", "busy")?["spec"]["replicas"].as_i64();
    ensure!(wanted()? > 1 && deployed > Some(1), "{deployed:?}, {}", namespace.get("hpa", "busy")?["status"]);

    for asker in &asking {
        asker.abort();
    }
    wait::until("the autoscaler takes them away", || {
        let deployment = namespace.get("deployment", "busy")?;
        ensure!(wanted()? == 1 && deployment["spec"]["replicas"] == 1, "{}", namespace.get("hpa", "busy")?["status"]);
        Ok(())
    })
    .await
}

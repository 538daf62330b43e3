//! What the real Prometheus sees of operator and sidecars.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::json;

use crate::data::{recommender, two_groups};

#[tokio::test]
async fn prometheus_answers_for_request_rate_and_ndcg_by_revision() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "scraped")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("scraped", 4, 1))?;
    namespace.wait_ready("scraped").await?;
    let revision = namespace.get("recommender", "scraped")?["status"]["model"]["revision"].clone();
    let queries = [
        "sum by (revision) (rate(recommender_http_requests_total{recommender=\"scraped\"}[1m])) > 0",
        "recommender_evaluation_ndcg{recommender=\"scraped\", subject=\"model\"}",
    ];
    // Requests go on while Prometheus scrapes, so that there is a rate.
    let url = format!("{}/recommend", namespace.service_url("scraped")?);
    let http = cluster.http.clone();
    let asking = tokio::spawn(async move {
        loop {
            let _ = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    for query in queries {
        wait::until(&format!("Prometheus answers {query}"), || {
            let result = cluster.prometheus(query)?;
            ensure!(result.iter().any(|series| series["metric"]["revision"] == revision), "{result:?}");
            Ok(())
        })
        .await?;
    }
    asking.abort();
    ensure!(!cluster.prometheus("recommender_operator_reconcile_total{result=\"ok\"} > 0")?.is_empty());
    Ok(())
}

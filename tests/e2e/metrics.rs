//! Series of operator and sidecars in Prometheus, and the queries of the dashboard.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::{Value, json};

use crate::data::{recommender, two_groups};

#[tokio::test]
async fn prometheus_has_request_rate_and_ndcg_by_revision() -> Result<()> {
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
    // Requests continue while Prometheus scrapes, so that the rate is positive.
    let url = format!("{}/recommend", namespace.service_url("scraped")?);
    let http = cluster.http.clone();
    let client = tokio::spawn(async move {
        loop {
            let _ = http.post(&url).json(&json!({"user": "user6", "n": 3})).send().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut queries: Vec<String> = queries.map(str::to_owned).to_vec();
    queries.push("recommender_resource_info{namespace=\"e2e-scraped\", name=\"scraped\"}".to_owned());
    for query in &queries {
        wait::until(&format!("Prometheus has {query}"), || {
            let result = cluster.prometheus(query)?;
            ensure!(result.iter().any(|series| series["metric"]["revision"] == revision), "{result:?}");
            Ok(())
        })
        .await?;
    }
    for (title, query) in dashboard_queries()? {
        wait::until(&format!("panel {title:?} has data: {query}"), || {
            let result = cluster.prometheus(&query)?;
            ensure!(!result.is_empty() || may_be_empty(&title, &query), "no series");
            Ok(())
        })
        .await?;
    }
    client.abort();
    wait::until("Prometheus has successful reconciles", || {
        ensure!(
            !cluster.prometheus("recommender_operator_reconcile_total{result=\"ok\"} > 0")?.is_empty(),
            "no series"
        );
        Ok(())
    })
    .await
}

/// Whether a query has no data in this test: errors that do not occur, the rmse of ratings, the
/// sidecars of apps and pods without one, compositions, certificates, lists for all users, and
/// catalogues.
fn may_be_empty(title: &str, query: &str) -> bool {
    ["Failed model loads", "Store errors"].contains(&title)
        || [
            "recommender_evaluation_rmse",
            "recommender_proxy_",
            "recommender_composed_",
            "recommender_part_",
            "recommender_mesh_refusals_",
            "recommender_connections_",
            "recommender_identity_",
            "recommender_operator_pods_without_sidecar",
            "recommender_resource_batch_",
            "recommender_resource_catalogue_",
            "recommender_catalogue_",
        ]
        .iter()
        .any(|metric| query.contains(metric))
}

/// Returns title and query of each panel of the chart's dashboard, with its variables set for this
/// test.
fn dashboard_queries() -> Result<Vec<(String, String)>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/recmesh/files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap_or_default();
            let query = query
                .replace("$namespace", "e2e-scraped")
                .replace("$recommender", "scraped")
                .replace("$__rate_interval", "1m");
            queries.push((panel["title"].as_str().unwrap_or_default().to_owned(), query));
        }
    }
    ensure!(queries.len() > 25, "{} queries", queries.len());
    Ok(queries)
}

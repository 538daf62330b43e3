//! The examples without external dependencies run unmodified.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace};
use serde_json::json;

fn example(name: &str) -> Result<String> {
    let path = format!("{}/../crds/examples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    // The only third-party image in the examples is replaced by one that is present on the node.
    Ok(std::fs::read_to_string(path)?.replace("docker.io/library/busybox:stable", "localhost/recmesh/busybox:1"))
}

/// Requests recommendations for a history and checks that they contain neither `excluded` nor an
/// item of the history.
async fn check_recommendations(namespace: &Namespace, name: &str, history: &[&str], excluded: &str) -> Result<()> {
    let items = history.join(",");
    let url = format!("{}/recommend", namespace.service_url(name)?);
    let ratings = vec!["4"; history.len()].join(",");
    let form = [("items", items.as_str()), ("ratings", ratings.as_str()), ("n", "20")];
    let response: serde_json::Value = namespace.cluster.http.post(url).form(&form).send().await?.json().await?;
    let found: Vec<&str> =
        response["recommendations"].as_array().into_iter().flatten().filter_map(|item| item.as_str()).collect();
    ensure!(found.len() > 5 && !found.contains(&excluded), "{response}");
    ensure!(!history.iter().any(|seen| found.contains(seen)), "{response}");
    Ok(())
}

#[tokio::test]
async fn online_shop_recommends_only_available_items() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "example-shop")?;
    namespace.apply(&example("online-shop")?)?;
    namespace.wait_ready("next-buy").await?;
    check_recommendations(&namespace, "next-buy", &["tent", "lantern"], "folding-chair").await
}

#[tokio::test]
async fn driving_fleet_recommends_only_open_segments() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "example-fleet")?;
    namespace.apply(&example("driving-fleet")?)?;
    namespace.wait_ready("segments").await?;
    check_recommendations(&namespace, "segments", &["ferry-quay", "salt-street"], "dock-bridge").await?;
    let response = namespace.recommend("segments", &json!({"user": "van-01", "n": 3})).await?;
    ensure!(response["items"][0]["source"] == "model", "{response}");
    Ok(())
}

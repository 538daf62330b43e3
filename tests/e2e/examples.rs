//! The examples that need nothing from outside run as they are.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace};
use serde_json::json;

fn example(name: &str) -> Result<String> {
    let path = format!("{}/../crds/examples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    // The only image in them that is not ours; it does not leave this node.
    Ok(std::fs::read_to_string(path)?.replace("docker.io/library/busybox:stable", "localhost/recmesh/busybox:1"))
}

/// Items that are asked for, by what somebody did; none of them may be one of `never`.
async fn answers(namespace: &Namespace, name: &str, history: &[&str], never: &str) -> Result<()> {
    let items = history.join(",");
    let url = format!("{}/recommend", namespace.service_url(name)?);
    let ratings = vec!["4"; history.len()].join(",");
    let form = [("items", items.as_str()), ("ratings", ratings.as_str()), ("n", "20")];
    let answer: serde_json::Value = namespace.cluster.http.post(url).form(&form).send().await?.json().await?;
    let found: Vec<&str> =
        answer["recommendations"].as_array().into_iter().flatten().filter_map(|item| item.as_str()).collect();
    ensure!(found.len() > 5 && !found.contains(&never), "{answer}");
    ensure!(!history.iter().any(|met| found.contains(met)), "{answer}");
    Ok(())
}

#[tokio::test]
async fn the_online_shop_sells_what_is_in_stock() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "example-shop")?;
    namespace.apply(&example("online-shop")?)?;
    namespace.wait_ready("next-buy").await?;
    answers(&namespace, "next-buy", &["tent", "lantern"], "folding-chair").await
}

#[tokio::test]
async fn the_fleet_is_told_of_open_roads() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "example-fleet")?;
    namespace.apply(&example("driving-fleet")?)?;
    namespace.wait_ready("segments").await?;
    answers(&namespace, "segments", &["ferry-quay", "salt-street"], "dock-bridge").await?;
    let answer = namespace.recommend("segments", &json!({"user": "van-01", "n": 3})).await?;
    ensure!(answer["items"][0]["source"] == "model", "{answer}");
    Ok(())
}

//! Clusters as they are: quotas, and ServiceAccounts of the user.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};
use serde_json::json;

use crate::data::{recommender, two_groups};

#[tokio::test]
async fn a_quota_is_reported_with_the_servers_sentence_and_serving_goes_on() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "quota")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1))?;
    namespace.wait_ready("movies").await?;
    namespace.apply(
        "apiVersion: v1
kind: ResourceQuota
metadata: {name: limits}
spec: {hard: {limits.cpu: '4', limits.memory: 8Gi}}
",
    )?;
    // The quota controller must have counted before it is enforced.
    wait::until("the quota is in force", || {
        let quota = namespace.get("resourcequota", "limits")?;
        ensure!(quota["status"]["hard"]["limits.cpu"] == "4", "{}", quota["status"]);
        Ok(())
    })
    .await?;
    namespace.kubectl(&["annotate", "recommender", "movies", "recmesh.dev/retrain-at=now"])?;
    wait::until("the quota is reported", || {
        let trained = namespace.condition("movies", "Trained");
        let blocked = trained.as_ref().is_some_and(|(_, reason, message)| {
            reason == "TrainingBlocked" && message.contains("must specify limits") && message.contains("resources")
        });
        ensure!(blocked, "Trained is {trained:?}");
        Ok(())
    })
    .await?;
    let ready = namespace.condition("movies", "Ready");
    ensure!(ready.as_ref().is_some_and(|(status, ..)| status == "True"), "Ready is {ready:?}");
    namespace.recommend("movies", &json!({"user": "user0", "n": 2})).await?;
    // What the message asks for.
    namespace.kubectl(&[
        "patch",
        "recommender",
        "movies",
        "--type=merge",
        "-p",
        r#"{"spec": {"training": {"resources": {"limits": {"cpu": "1", "memory": "256Mi"}}}}}"#,
    ])?;
    wait::until("the run succeeds within the quota", || {
        let object = namespace.get("recommender", "movies")?;
        ensure!(object["status"]["lastHandledRetrainAt"] == "now", "{}", object["status"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn service_accounts_of_the_user_are_used_and_left_alone() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "accounts")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.kubectl(&["create", "serviceaccount", "movies"])?;
    let named = "  training: {serviceAccountName: movies}\n  serving: {serviceAccountName: movies}\n";
    namespace.apply(&format!("{}{named}", without_pods(&recommender("movies", 4, 1))))?;
    namespace.wait_ready("movies").await?;
    let account = namespace.get("serviceaccount", "movies")?;
    ensure!(account["metadata"]["ownerReferences"].is_null(), "{account}");
    Ok(())
}

/// The resource without `training` and `serving`, for which the test has its own.
fn without_pods(resource: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("  training:") && !line.starts_with("  serving:");
    resource.lines().filter(is_kept).map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
}

//! Errors appear in the conditions, and fixing the cause recovers without deleting anything.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};

use crate::data::{recommender, two_groups};

/// Waits until a condition has this reason and its message contains `part`.
async fn wait_condition(namespace: &Namespace, name: &str, kind: &str, reason: &str, part: &str) -> Result<()> {
    wait::until(&format!("{name} has condition {kind} with reason {reason}"), || {
        let found = namespace.condition(name, kind);
        let matches = found.as_ref().is_some_and(|(_, r, message)| r == reason && message.contains(part));
        ensure!(matches, "{kind} is {found:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn missing_config_map_is_reported_and_creating_it_recovers() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "missing")?;
    namespace.apply(&recommender("movies", 4, 1))?;
    wait_condition(&namespace, "movies", "DataReady", "SourceNotFound", "visits").await?;
    wait_condition(&namespace, "movies", "Stalled", "SourceNotFound", "visits.csv").await?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.wait_ready("movies").await
}

#[tokio::test]
async fn missing_secret_and_wrong_column_are_reported() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "wrong")?;
    namespace.apply(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: bucket}
spec:
  data: {source: {url: \"s3://shop/ratings.csv\", secretRef: {name: shop-s3}}}
",
    )?;
    wait_condition(&namespace, "bucket", "DataReady", "ReferenceNotFound", "shop-s3").await?;
    namespace.kubectl(&["delete", "recommender", "bucket"])?;

    namespace.config_map("visits", "visits.csv", &two_groups().replacen("user_id", "visitor", 1))?;
    namespace.apply(&recommender("columns", 4, 1))?;
    wait_condition(&namespace, "columns", "DataReady", "DataInvalid", "visitor").await?;
    let fixed =
        recommender("columns", 4, 1).replace("key: visits.csv}}}", "key: visits.csv}}, columns: {user: visitor}}");
    namespace.apply(&fixed)?;
    namespace.wait_ready("columns").await
}

#[tokio::test]
async fn name_conflict_is_reported_and_the_object_is_unchanged() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "name-conflict")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply("apiVersion: v1\nkind: Service\nmetadata: {name: movies}\nspec: {ports: [{port: 1234}], selector: {app: other}}\n")?;
    namespace.apply(&recommender("movies", 4, 1))?;
    wait_condition(&namespace, "movies", "Stalled", "NameConflict", "Service movies").await?;
    let service = namespace.get("service", "movies")?;
    ensure!(service["spec"]["ports"][0]["port"] == 1234, "the Service of another owner was changed: {service}");
    namespace.kubectl(&["delete", "service", "movies"])?;
    // The operator would reconcile at its next resync; the annotation triggers it now.
    namespace.kubectl(&["annotate", "recommender", "movies", "recmesh.dev/reconcile-at=1"])?;
    namespace.wait_ready("movies").await
}

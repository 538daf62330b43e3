//! What goes wrong is said where a user looks, and mending it recovers without deleting anything.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, wait};

use crate::data::{recommender, two_groups};

async fn says(namespace: &Namespace, name: &str, kind: &str, reason: &str, part: &str) -> Result<()> {
    wait::until(&format!("{name} says {kind} {reason}"), || {
        let found = namespace.condition(name, kind);
        let fits = found.as_ref().is_some_and(|(_, r, message)| r == reason && message.contains(part));
        ensure!(fits, "{kind} is {found:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_missing_config_map_is_named_and_bringing_it_recovers() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "missing")?;
    namespace.apply(&recommender("movies", 4, 1))?;
    says(&namespace, "movies", "DataReady", "SourceNotFound", "visits").await?;
    says(&namespace, "movies", "Stalled", "SourceNotFound", "visits.csv").await?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.wait_ready("movies").await
}

#[tokio::test]
async fn a_missing_secret_is_named_and_a_wrong_column_says_which_exist() -> Result<()> {
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
    says(&namespace, "bucket", "DataReady", "ReferenceNotFound", "shop-s3").await?;
    namespace.kubectl(&["delete", "recommender", "bucket"])?;

    namespace.config_map("visits", "visits.csv", &two_groups().replacen("user_id", "visitor", 1))?;
    namespace.apply(&recommender("columns", 4, 1))?;
    says(&namespace, "columns", "DataReady", "DataInvalid", "visitor").await?;
    let fixed =
        recommender("columns", 4, 1).replace("key: visits.csv}}}", "key: visits.csv}}, columns: {user: visitor}}");
    namespace.apply(&fixed)?;
    namespace.wait_ready("columns").await
}

#[tokio::test]
async fn a_taken_name_is_left_alone_and_reported() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "taken")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply("apiVersion: v1\nkind: Service\nmetadata: {name: movies}\nspec: {ports: [{port: 1234}], selector: {app: other}}\n")?;
    namespace.apply(&recommender("movies", 4, 1))?;
    says(&namespace, "movies", "Stalled", "NameTaken", "Service movies").await?;
    let service = namespace.get("service", "movies")?;
    ensure!(service["spec"]["ports"][0]["port"] == 1234, "somebody else's Service was changed: {service}");
    namespace.kubectl(&["delete", "service", "movies"])?;
    // The operator looks again by itself at its next resync; a touch spares the wait.
    namespace.kubectl(&["annotate", "recommender", "movies", "example.com/touch=1"])?;
    namespace.wait_ready("movies").await
}

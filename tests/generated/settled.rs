//! Waits until the operator has finished its work on a Recommender: it has handled the spec, all
//! Jobs have ended, and a complete reconcile changes nothing.

use anyhow::{Context as _, Result, ensure};
use e2e::{proxy::Proxy, wait};
use serde_json::Value;

use crate::{
    fake_cluster::FakeCluster,
    final_state::{FinalState, difference, final_state},
};

/// Reasons of Stalled for a spec that the API server accepts and the operator rejects.
pub const REJECTED_BY_OPERATOR: [&str; 2] = ["InvalidSpec", "Forbidden"];
/// Reason of Stalled while children of a deleted Recommender still exist.
const NAME_CONFLICT: &str = "NameConflict";

/// Waits until the operator has handled the current spec, and the retrain request if there is one.
pub async fn wait_handled(cluster: &FakeCluster, recommender: (&str, &str), retrain_at: Option<&str>) -> Result<()> {
    wait::until_async("the operator has handled the spec", async || {
        let object = cluster.get(recommender).await?;
        ensure!(is_handled(&object, retrain_at), "the status is {}", object["status"]);
        Ok(())
    })
    .await
}

/// Returns the state after the operator has handled the current spec, and the retrain request if
/// there is one. The operator uses `proxy`.
pub async fn settled_state(
    cluster: &FakeCluster,
    proxy: &Proxy,
    recommender: (&str, &str),
    retrain_at: Option<&str>,
) -> Result<FinalState> {
    wait::until_async("a reconcile changes nothing", async || {
        let object = cluster.get(recommender).await?;
        ensure!(is_handled(&object, retrain_at), "the status is {}", object["status"]);
        let running = cluster.running_jobs(recommender).await?;
        ensure!(running.is_empty(), "running Jobs: {running:?}");
        let before = final_state(&cluster.client, recommender).await?;
        let writes = writes_to(proxy, recommender);
        proxy.wait_reconciled(recommender.0, recommender.1).await?;
        let after = final_state(&cluster.client, recommender).await?;
        ensure!(after == before, "a reconcile made changes: {}", difference(&after, &before));
        ensure!(writes_to(proxy, recommender) == writes, "a reconcile wrote an equivalent object");
        Ok(after)
    })
    .await
    .with_context(|| format!("{}/{}", recommender.0, recommender.1))
}

/// Number of writes to a Recommender and its children, whose names begin with its name.
fn writes_to(proxy: &Proxy, (namespace, name): (&str, &str)) -> usize {
    let is_of = |write: &&String| {
        let mut segments = write.split('/').skip_while(|segment| *segment != namespace).skip(1);
        segments.any(|segment| segment.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
    };
    proxy.writes().iter().filter(is_of).count()
}

fn is_handled(object: &Value, retrain_at: Option<&str>) -> bool {
    let (spec, status, meta) = (&object["spec"], &object["status"], &object["metadata"]);
    if object.is_null() || status["observedGeneration"] != meta["generation"] {
        return false;
    }
    if retrain_at.is_some_and(|retrain_at| meta["annotations"]["recmesh.dev/retrain-at"] != retrain_at) {
        return false;
    }
    let condition = |kind: &str| {
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.find(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    let stalled = condition("Stalled").and_then(|condition| condition["reason"].as_str()).unwrap_or_default();
    let trains = spec["suspend"] != true && spec["training"]["suspend"] != true && spec["store"].is_null();
    let is_trained = condition("Trained").is_some()
        && retrain_at.is_none_or(|retrain_at| status["lastHandledRetrainAt"] == retrain_at);
    REJECTED_BY_OPERATOR.contains(&stalled) || (stalled != NAME_CONFLICT && (!trains || is_trained))
}

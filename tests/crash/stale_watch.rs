//! An operator with a stale list and a watch without events must not write anything.

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, operator_process::OperatorProcess, proxy::Proxy, wait};
use serde_json::json;

use crate::{
    NAME,
    data::recommender,
    empty_store,
    state::{settled_state, state},
};

/// Resync interval of the operator. Without watch events, it reconciles after this.
const RESYNC_SECONDS: u32 = 2;
/// Number of complete reconciles with stale data: the first one after the start, and a resync.
const STALE_RECONCILES: usize = 2;

pub async fn stale_watches_cause_no_writes(cluster: &Cluster) -> Result<()> {
    let namespace = Namespace::new(cluster, "stale-watch")?;
    let client = cluster.client().await?;
    let proxy = Proxy::start(client.clone()).await?;
    let operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, RESYNC_SECONDS)?;
    empty_store(&namespace).await?;
    let movies = |factors| format!("{}  revisionHistoryLimit: 1\n", recommender(NAME, factors, 1));
    for (run, factors) in [(1, 3), (2, 4), (3, 5)] {
        namespace.apply(&movies(factors))?;
        proxy.record_list(&client, &namespace.name).await?;
        wait::until(&format!("the model of run {run} is served"), || {
            let status = namespace.get("recommender", NAME)?["status"].clone();
            ensure!(status["model"]["run"] == run && status["loadedReplicas"] == 1, "{status}");
            Ok(())
        })
        .await?;
        namespace.wait_ready(NAME).await?;
    }
    let expected = settled_state(&namespace, &proxy).await?;
    for index in 0..proxy.recorded_lists() {
        let faults = proxy.faults();
        (operator.kill_fn())();
        proxy.serve_stale_list(index);
        proxy.disarm();
        operator.restart()?;
        proxy.wait_reconciles(&namespace.name, NAME, STALE_RECONCILES).await?;
        ensure!(proxy.faults() > faults, "the operator did not request stale list {index}");
        let writes = proxy.writes();
        ensure!(writes.is_empty(), "with stale list {index}, the operator wrote {writes:?}");
        ensure!(state(&namespace)? == expected, "with stale list {index}, the state changed");
    }
    // A change without a watch event is found by the next resync.
    namespace.kubectl(&[
        "patch",
        "recommender",
        NAME,
        "--type=merge",
        "-p",
        &json!({"spec": {"serving": {"replicas": 2}}}).to_string(),
    ])?;
    wait::until("two pods have loaded the model", || {
        let status = namespace.get("recommender", NAME)?["status"].clone();
        ensure!(status["loadedReplicas"] == 2, "{status}");
        Ok(())
    })
    .await
}

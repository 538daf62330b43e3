//! An operator whose list is old and whose watch brings nothing: what it writes must follow from the truth.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, operator_process::OperatorProcess, proxy::Proxy, wait};
use serde_json::json;

use crate::{data::recommender, empty_store, state::state};

/// As long as an operator that believes old news is given to do harm.
const TEMPTATION: Duration = Duration::from_secs(8);

pub async fn an_operator_with_old_news_writes_nothing(cluster: &Cluster) -> Result<()> {
    let namespace = Namespace::new(cluster, "old-news")?;
    let client = cluster.client().await?;
    let proxy = Proxy::start(client.clone()).await?;
    let operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, 5)?;
    empty_store(&namespace).await?;
    let movies =
        |factors, more: &str| format!("{}  revisionHistoryLimit: 1\n{more}", recommender("movies", factors, 1));
    for (run, factors) in [(1, 3), (2, 4), (3, 5)] {
        namespace.apply(&movies(factors, ""))?;
        proxy.note_moment(&client, &namespace.name).await?;
        wait::until(&format!("run {run} serves"), || {
            let status = namespace.get("recommender", "movies")?["status"].clone();
            ensure!(status["model"]["run"] == run && status["loadedReplicas"] == 1, "{status}");
            Ok(())
        })
        .await?;
        namespace.wait_ready("movies").await?;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let truth = state(&namespace)?;
    for moment in 0..proxy.moments() {
        (operator.killer())();
        proxy.only_old_news(moment);
        proxy.disarm();
        operator.restart()?;
        tokio::time::sleep(TEMPTATION).await;
        let writes = proxy.writes();
        ensure!(writes.is_empty(), "believing moment {moment}, the operator wrote {writes:?}");
        ensure!(state(&namespace)? == truth, "believing moment {moment}, something else is there");
    }
    // News that no watch brings is found at the next look.
    namespace.kubectl(&[
        "patch",
        "recommender",
        "movies",
        "--type=merge",
        "-p",
        &json!({"spec": {"serving": {"replicas": 2}}}).to_string(),
    ])?;
    wait::until("two pods answer", || {
        let status = namespace.get("recommender", "movies")?["status"].clone();
        ensure!(status["loadedReplicas"] == 2, "{status}");
        Ok(())
    })
    .await
}

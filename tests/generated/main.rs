//! Generated tests. Each case is generated from a seed and run on two Recommenders, whose final
//! states must be equal.
//!
//! They run the real operator against an API server without the rest of a cluster.
//! `fake_cluster.rs` simulates the other controllers without delay, so that hundreds of cases take
//! minutes. `RECMESH_SOAK_TRANSITIONS` and `RECMESH_SOAK_STALE_WATCH` set the number of cases,
//! `RECMESH_SEED` the seed; `make soak` uses another seed each day. Each test prints how to repeat
//! it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

mod fake_cluster; // API server and simulated controllers
mod final_state; // state of a Recommender without fields that differ between equivalent ones
mod rng;
mod schema; // leaf fields of `spec`
mod settled; // the operator has finished its work
mod stale_watch; // faulty lists and watches
mod transitions; // changes from one spec to another
mod values; // valid and invalid values of a leaf field

use anyhow::{Context as _, Result};
use e2e::{
    operator_process::{OperatorProcess, proxy_kubeconfig},
    proxy::Proxy,
};
use fake_cluster::FakeCluster;

/// Default number of transitions.
const TRANSITIONS_DEFAULT: u64 = 100;
/// Default number of scenarios with stale watches.
const STALE_WATCH_DEFAULT: u64 = 6;

fn from_environment(name: &str, default: u64) -> Result<u64> {
    std::env::var(name)
        .map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text:?} is not a number")))
}

/// Returns the number of cases and the seed, and prints how to repeat the test.
fn cases_and_seed(test: &str, name: &str, default: u64) -> Result<(u64, u64)> {
    let (count, seed) = (from_environment(name, default)?, from_environment("RECMESH_SEED", 1)?);
    println!(
        "{test} from seed {seed}; to repeat it: RECMESH_SEED={seed} {name}={count} cargo test -p e2e --test generated -- {test}"
    );
    Ok((count, seed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_converges_like_create() -> Result<()> {
    let cluster = FakeCluster::start("transitions").await?;
    let arguments = cluster.operator_arguments().into_iter().chain(["--concurrency=8".to_owned()]);
    let proxy = Proxy::start(cluster.client.clone()).await?;
    let operator = OperatorProcess::start_with("transitions", &proxy_kubeconfig(proxy.address), arguments)?;
    let (count, seed) =
        cases_and_seed("update_converges_like_create", "RECMESH_SOAK_TRANSITIONS", TRANSITIONS_DEFAULT)?;
    let outcome = transitions::every_leaf(&cluster, &proxy, usize::try_from(count)?, seed).await;
    outcome.with_context(|| format!("the operator log is {}", operator.log_path().display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_watches_cause_no_writes() -> Result<()> {
    let cluster = FakeCluster::start("stale-watch").await?;
    let (count, seed) =
        cases_and_seed("stale_watches_cause_no_writes", "RECMESH_SOAK_STALE_WATCH", STALE_WATCH_DEFAULT)?;
    stale_watch::run_scenarios(&cluster, count, seed).await
}

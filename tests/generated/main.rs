//! Stories that a generator makes from a seed, each with two lives that must come to the same end.
//!
//! They run against an API server alone, with the real operator; what a cluster does besides, `world.rs` does at once, so that
//! hundreds of lives take minutes. `RECMESH_SOAK_TRANSITIONS` and `RECMESH_SOAK_OLD_NEWS` say how many; `RECMESH_SEED` which:
//! `make soak` takes another one each day.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

mod dice;
mod ends; // where a life came to, without what differs between two of them
mod old_news; // watches that do not tell the truth
mod schema; // the leaves of `spec`
mod transitions; // from one spec to another
mod values; // what a leaf may be
mod world; // the API server, and who stands in for a cluster

use anyhow::{Context as _, Result};
use e2e::operator_process::OperatorProcess;
use world::World;

/// Transitions, when the environment does not say.
const TRANSITIONS_DEFAULT: u64 = 140;
/// Stories of old news, when the environment does not say.
const OLD_NEWS_DEFAULT: u64 = 8;

fn from_environment(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text:?}: a number")))
}

fn seed() -> Result<u64> {
    from_environment("RECMESH_SEED", 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_recommender_ends_as_one_made_so() -> Result<()> {
    let world = World::start("transitions").await?;
    let arguments = world.operator_arguments().into_iter().chain(["--concurrency=8".to_owned()]);
    let config = std::fs::read_to_string(&world.kubeconfig)?;
    let operator = OperatorProcess::with("transitions", &config, arguments)?;
    let count = usize::try_from(from_environment("RECMESH_SOAK_TRANSITIONS", TRANSITIONS_DEFAULT)?)?;
    let outcome = transitions::every_leaf(&world, count, seed()?).await;
    outcome.with_context(|| format!("the operator's log is {}", operator.log().display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_news_make_and_delete_nothing() -> Result<()> {
    let world = World::start("old-news").await?;
    old_news::stories(&world, from_environment("RECMESH_SOAK_OLD_NEWS", OLD_NEWS_DEFAULT)?, seed()?).await
}

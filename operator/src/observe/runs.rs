//! Finished runs from the store. A result never changes, so each is read once; what was read stays known when the store
//! is down.

use sidecar_contract::{RunId, RunResult};

use crate::{context::Context, error::chain, validate::Plan};

/// Newest runs that are looked at; retention keeps fewer.
const RUNS_MAX: usize = 200;

/// The newest results, or why they are unknown. Results that were read before count as known.
pub async fn read(context: &Context, plan: &Plan) -> Result<Vec<RunResult>, String> {
    match plan.store_owner().in_time(read_store(context, plan)).await {
        Ok(results) => {
            context.remember_runs(&plan.uid, &results);
            Ok(results)
        }
        Err(problem) => context.known_runs(&plan.uid).ok_or(problem),
    }
}

async fn read_store(context: &Context, plan: &Plan) -> Result<Vec<RunResult>, String> {
    let owner = plan.store_owner();
    let store = owner.open(context).await?;
    let mut runs: Vec<RunId> = store.list_runs().await.map_err(|error| owner.said(&error))?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.number));
    runs.truncate(RUNS_MAX);
    let known = context.known_runs(&plan.uid).unwrap_or_default();
    let mut results = Vec::with_capacity(runs.len());
    for run in runs {
        if let Some(result) = known.iter().find(|result| result.run == run) {
            results.push(result.clone());
            continue;
        }
        match store.get_run(&run).await {
            Ok(result) => results.push(result),
            Err(error) if error.is_transient() => return Err(owner.said(&error)),
            // One unreadable result must not hide the others.
            Err(error) => tracing::warn!(run = %run, error = chain(&error), "a run result cannot be read"),
        }
    }
    Ok(results)
}

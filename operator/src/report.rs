//! The report of a run, for when no serving pod can show it: a first run that failed leaves no
//! model and no pod. A command prints it, so that it needs the right to execute commands in the
//! operator's pod; its port would show the reports of all tenants to everybody. IO.

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use recommender_crds::Recommender;
use run_report::Subject;
use sidecar_contract::{Gate, RunResult};

use crate::{
    context::Context,
    store_access::{READ_DEADLINE, with_store},
    store_scope::StoreScope,
};

/// Renders the report of a run of a Recommender; of the newest run without a number.
///
/// # Errors
/// Fails if the Recommender or the run does not exist, or if the API server or the store fails.
pub async fn render(context: &Context, namespace: &str, name: &str, run: Option<u32>) -> Result<String> {
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), namespace);
    let recommender = api.get_opt(name).await.with_context(|| format!("cannot read Recommender {namespace}/{name}"))?;
    let recommender = recommender.with_context(|| format!("Recommender {namespace}/{name} does not exist"))?;
    let (numbers, result) = newest(context, &recommender, run).await?;
    let listed: Vec<String> = numbers.iter().map(u32::to_string).collect();
    ensure!(!numbers.is_empty(), "no run of Recommender {namespace}/{name} has a result yet");
    let result =
        result.with_context(|| format!("there is no such run; the runs with a result are {}", listed.join(", ")))?;
    let recommender_crds::Gate { min_lift_over_baseline, max_regression } = recommender.spec.evaluation.gate;
    let gate = Some(Gate { min_lift_over_baseline, max_regression });
    Ok(run_report::render(&result, Some(Subject { namespace, name, gate })))
}

/// Numbers of all runs with a result, newest first, and the result of the requested one.
async fn newest(
    context: &Context,
    recommender: &Recommender,
    run: Option<u32>,
) -> Result<(Vec<u32>, Option<RunResult>)> {
    let read = with_store(context, StoreScope::of(recommender), READ_DEADLINE, |store| async move {
        let mut runs = store.list_runs().await?;
        runs.sort_by_key(|run| std::cmp::Reverse(run.number));
        let requested = runs.iter().find(|known| run.is_none_or(|number| known.number == number));
        let result = match requested {
            Some(run) => Some(store.get_run(run).await?),
            None => None,
        };
        Ok((runs.iter().map(|run| run.number).collect(), result))
    });
    read.await.map_err(|problem| anyhow::anyhow!(problem.message))
}

//! One reconcile: the steps in their order. It assumes nothing of why it was called.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use recommender_crds::{Reason, Recommender};
use sidecar_contract::{RunResult, ServingConfig};

use crate::{
    apply,
    context::Context,
    decide::{self, Backoff, Training},
    desired,
    error::Error,
    observe::{self, Observed},
    publish::publish,
    status::{self, Facts},
    validate::{Plan, validate},
};

/// While pods start or load, they are looked at this often.
const SOON: Duration = Duration::from_secs(2);

/// Brings a Recommender one step nearer to its spec.
///
/// # Errors
/// The world misbehaved; the caller tries again with a back-off.
pub async fn reconcile(recommender: &Recommender, context: &Arc<Context>) -> Result<Action, Error> {
    if recommender.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change()); // Owner references delete the children.
    }
    let now = Timestamp::now();
    let before = recommender.status.clone().unwrap_or_default();
    let generation = recommender.metadata.generation.unwrap_or_default();
    let plan = match validate(recommender) {
        Ok(plan) => plan,
        Err(problems) => {
            let message = problems.join("; ");
            publish(context, recommender, &status::stalled(&before, generation, Reason::InvalidSpec, &message, now))
                .await?;
            return Ok(Action::requeue(jittered(context.settings.resync())));
        }
    };
    let mut observed = observe::observe(context, &plan).await?;
    if !observed.taken.is_empty() {
        let message = format!(
            "{} exists and is not this Recommender's; delete or rename it, or choose another name",
            observed.taken.join(", ")
        );
        publish(context, recommender, &status::stalled(&before, generation, Reason::NameTaken, &message, now)).await?;
        return Ok(Action::requeue(jittered(context.settings.resync())));
    }
    let training = train(context, &plan, &observed, now).await?;
    let results = observed.runs.clone().unwrap_or_default();
    let serving = decide::serving(&plan, &results);
    let hurried = serve(context, &plan, &mut observed, &serving).await?;
    let facts = Facts { plan: &plan, observed: &observed, training: &training, serving: &serving, before: &before };
    let computed = status::compute(facts, now);
    let waits =
        recommender_crds::condition::is_true(&computed.conditions, recommender_crds::ConditionType::Reconciling);
    publish(context, recommender, &computed).await?;
    let pause = match training {
        Training::Wait { seconds } => Duration::from_secs(seconds + 1).min(context.settings.resync()),
        _ if waits || hurried || observed.runs.is_err() => SOON,
        _ => context.settings.resync(),
    };
    Ok(Action::requeue(if pause == SOON { pause } else { jittered(pause) }))
}

/// Decides about training, and does it.
async fn train(context: &Context, plan: &Plan, observed: &Observed, now: Timestamp) -> Result<Training, Error> {
    let Ok(results) = &observed.runs else {
        // What is trained is unknown: starting a run now could train what is there.
        let running = observed.jobs.iter().find(|job| job.state == observe::JobState::Running);
        return Ok(running.map_or(Training::Idle, |job| Training::Running { job: job.name.clone() }));
    };
    let backoff = Backoff { min: context.settings.retry_seconds_min, max: context.settings.retry_seconds_max };
    let decision = decide::training(plan, results, &observed.jobs, backoff, now.as_second());
    match &decision {
        Training::Replace { job } => apply::delete_job(context, &plan.namespace, job).await?,
        Training::Start { run, known_data_version } => {
            // What the Job mounts must be there first.
            let early = desired::children(
                plan,
                &context.settings,
                &context.store_secrets(&plan.namespace, &plan.name),
                &empty_config(context, plan),
            );
            apply::apply(context, &plan.namespace, early.get(..3).unwrap_or(&early)).await?;
            let store = context.store_config(&plan.namespace, &plan.name);
            let config = decide::training_config(plan, run.clone(), store, known_data_version.clone());
            let job = desired::training_job(plan, &context.settings, &config);
            tracing::info!(namespace = plan.namespace, name = plan.name, run = %run, "starts a training run");
            apply::create_job(context, &plan.namespace, &job).await?;
        }
        Training::Idle | Training::Running { .. } | Training::Wait { .. } => {}
    }
    Ok(decision)
}

/// Applies the children, and makes kubelet bring the config where a pod does not have it. Says whether one did not.
async fn serve(context: &Context, plan: &Plan, observed: &mut Observed, serving: &[&RunResult]) -> Result<bool, Error> {
    if observed.runs.is_err() {
        return Ok(false); // Which revision should serve is unknown: what serves goes on.
    }
    let config = desired::serving_config(plan, serving, context.store_config(&plan.namespace, &plan.name));
    let secrets = context.store_secrets(&plan.namespace, &plan.name);
    let children = desired::children(plan, &context.settings, &secrets, &config);
    apply::apply(context, &plan.namespace, &children).await?;
    let hash = config.hash();
    let mut behind = false;
    for (pod, report) in &observed.reports {
        if report.config_hash.as_ref() == Some(&hash) {
            continue;
        }
        behind = true;
        let asked = observed.pods.iter().find(|p| p.name == *pod).and_then(|p| p.asked_hash.as_deref());
        if asked != Some(hash.as_str()) {
            apply::hurry(context, &plan.namespace, pod, hash.as_str()).await?;
        }
    }
    Ok(behind)
}

fn empty_config(context: &Context, plan: &Plan) -> ServingConfig {
    desired::serving_config(plan, &[], context.store_config(&plan.namespace, &plan.name))
}

/// Up to a tenth longer, so that a fleet does not move in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers there is no jitter, and no harm.
    let _ = getrandom::fill(&mut byte);
    pause + pause.mul_f64(f64::from(byte[0]) / 2560.0)
}

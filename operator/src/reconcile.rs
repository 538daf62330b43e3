//! One reconcile: the steps in their order. It assumes nothing of why it was called.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use recommender_crds::{Reason, Recommender, RecommenderStatus};
use sidecar_contract::ServingConfig;

use crate::{
    apply, collect,
    context::Context,
    decide::{self, Choice, Named, Past, Serving, Training},
    deletion::{self, Farewell},
    desired::{self, Child, Kind},
    error::Error,
    names::TEMPLATE_HASH_ANNOTATION,
    observe::{self, Observed},
    publish::publish,
    status::{self, Facts},
    trainings::Who,
    validate::{Plan, validate},
};

/// While pods start or load, they are looked at this often.
const SOON: Duration = Duration::from_secs(2);
/// Who waits for a place to train is woken; should that be missed, this is when to look again.
const QUEUE_PAUSE: Duration = Duration::from_mins(1);
/// Names that are taken are looked at again after this: most often by what a deleted Recommender of this name left, which goes
/// by itself, and not all of which wakes anybody up as it goes.
const TAKEN_PAUSE: Duration = Duration::from_secs(10);
/// A store that keeps a deleted Recommender from going is asked again after this.
const DELETION_PAUSE: Duration = Duration::from_secs(30);

/// Brings a Recommender one step nearer to its spec. What woke it up says which one; what is done follows from the API
/// server's own copy, since a watch may be behind: nothing is made, promoted or deleted on old news.
///
/// # Errors
/// The world misbehaved; the caller tries again with a back-off.
pub async fn reconcile(woken: &Recommender, context: &Arc<Context>) -> Result<Action, Error> {
    let Some(recommender) = &observe::recommender(context, woken).await? else {
        return Ok(Action::await_change()); // It is gone.
    };
    let outcome = steps(recommender, context).await;
    if let Some(message) = outcome.as_ref().err().and_then(Error::refusal) {
        // Tried again like every error, and said: most often only the user can mend it.
        publish(context, recommender, &stalled(recommender, Reason::Forbidden, &message)).await?;
    }
    outcome
}

/// The status of a Recommender that nothing is done for, and why.
fn stalled(recommender: &Recommender, reason: Reason, message: &str) -> RecommenderStatus {
    let before = recommender.status.clone().unwrap_or_default();
    let generation = recommender.metadata.generation.unwrap_or_default();
    status::stalled(&before, generation, reason, message, Timestamp::now())
}

async fn steps(recommender: &Recommender, context: &Arc<Context>) -> Result<Action, Error> {
    let now = Timestamp::now();
    let before = recommender.status.clone().unwrap_or_default();
    if recommender.metadata.deletion_timestamp.is_some() {
        return match deletion::farewell(context, recommender).await? {
            Farewell::Done => Ok(Action::await_change()), // Owner references delete the children.
            Farewell::StopsRuns => Ok(Action::requeue(SOON)),
            Farewell::StoreUnreachable { message } => {
                let message = deletion::escape(recommender, &message);
                publish(context, recommender, &stalled(recommender, Reason::Deleting, &message)).await?;
                Ok(Action::requeue(jittered(DELETION_PAUSE)))
            }
        };
    }
    let mut plan = match validate(recommender) {
        Ok(plan) => plan,
        Err(problems) => {
            publish(context, recommender, &stalled(recommender, Reason::InvalidSpec, &problems.join("; "))).await?;
            return Ok(Action::requeue(jittered(context.settings.resync())));
        }
    };
    if deletion::hold(context, recommender).await? {
        return Ok(Action::requeue(Duration::ZERO)); // The object changed: what was read is old.
    }
    plan.secret_versions = observe::secret_versions(context, &plan).await?;
    let plan = plan;
    let mut observed = observe::observe(context, &plan).await?;
    if !observed.taken.is_empty() {
        let message = format!(
            "{} exists and is not this Recommender's; delete or rename it, or choose another name",
            observed.taken.join(", ")
        );
        publish(context, recommender, &stalled(recommender, Reason::NameTaken, &message)).await?;
        return Ok(Action::requeue(jittered(TAKEN_PAUSE)));
    }
    let training = train(context, &plan, &observed, &before, now).await?;
    let served = serve(context, &plan, &observed, now).await?;
    collect(context, &plan, &mut observed, &served.serving, now).await?;
    let facts = Facts {
        plan: &plan,
        observed: &observed,
        training: &training,
        serving: &served.serving,
        queued: served.queued,
        trainings_max: context.trainings.places(),
        before: &before,
    };
    let computed = status::compute(facts, now);
    if status::has_rolled_out(facts) && !served.behind {
        context.rollouts.release(&plan.uid);
    }
    let waits = status::is_settling(&plan, &computed);
    publish(context, recommender, &computed).await?;
    let regular = jittered(context.settings.resync());
    Ok(Action::requeue(match training {
        _ if waits || served.behind || observed.runs.is_err() => SOON,
        Training::Wait { seconds } => Duration::from_secs(seconds.saturating_add(1)).min(regular),
        Training::Idle { next: Some(next) } => {
            let seconds = u64::try_from(next.saturating_sub(now.as_second())).unwrap_or(0);
            Duration::from_secs(seconds.max(1)).min(regular)
        }
        Training::Queued => jittered(QUEUE_PAUSE),
        Training::Idle { next: None }
        | Training::Running { .. }
        | Training::Replace { .. }
        | Training::Start { .. } => regular,
    }))
}

/// Decides about training, and does it.
async fn train(
    context: &Context,
    plan: &Plan,
    observed: &Observed,
    before: &RecommenderStatus,
    now: Timestamp,
) -> Result<Training, Error> {
    let (now, deadline) = (now.as_second(), plan.training.deadline.as_secs());
    let who = Who { uid: plan.uid.clone(), namespace: plan.namespace.clone(), name: plan.name.clone() };
    let Ok(results) = &observed.runs else {
        // What is trained is unknown: starting a run now could train what is there.
        let running = observed.jobs.iter().find(|job| job.state == observe::JobState::Running);
        return Ok(running.map_or(Training::Idle { next: None }, |job| Training::Running { job: job.name.clone() }));
    };
    let past = Past { results, jobs: &observed.jobs, before };
    let decision = decide::training(plan, past, context.settings.rhythm(), now);
    match &decision {
        Training::Replace { job } => {
            context.trainings.occupy(&who, now, deadline);
            if observed.jobs.iter().any(|known| known.name == *job && !known.deleted) {
                apply::delete_job(context, &plan.namespace, job).await?;
            }
        }
        Training::Running { .. } => context.trainings.occupy(&who, now, deadline),
        Training::Start { .. } if !context.trainings.claim(&who, now, deadline) => return Ok(Training::Queued),
        Training::Start { run, cause, known_data_version } => {
            // What the Job mounts must be there first.
            let early = desired::prerequisites(plan, &context.store_secrets(&plan.namespace, &plan.name));
            apply::apply(context, &plan.namespace, &early).await?;
            let store = plan.store_owner().config(context);
            let mut config = decide::training_config(plan, run.clone(), store, known_data_version.clone());
            config.decided_at = Some(now);
            config.incumbent = decide::incumbent(plan, results, observed.config.as_ref());
            let job = desired::training_job(plan, &context.settings, &config);
            let cause = cause.as_str();
            tracing::info!(namespace = plan.namespace, name = plan.name, run = %run, cause, "starts a training run");
            apply::create_job(context, &plan.namespace, &job).await?;
        }
        Training::Idle { .. } | Training::Queued | Training::Wait { .. } => context.trainings.release(&plan.uid, now),
    }
    Ok(decision)
}

/// What was decided and done about serving.
struct Served {
    /// What should serve now.
    serving: Serving,
    /// A pod has not taken the config yet.
    behind: bool,
    /// A new model or template waits until other Recommenders have rolled out.
    queued: bool,
}

/// Applies the children, and makes kubelet bring the config where a pod does not have it.
async fn serve(context: &Context, plan: &Plan, observed: &Observed, now: Timestamp) -> Result<Served, Error> {
    let before = observed.config.as_ref();
    // While the store is down, the config in force is what is known.
    let results = observed.runs.as_deref().unwrap_or_default();
    let mut serving = decide::serving(plan, results, before);
    if observed.runs.is_err() && before.is_none() {
        return Ok(Served { serving, behind: false, queued: false });
    }
    let store = || plan.store_owner().config(context);
    let secrets = context.store_secrets(&plan.namespace, &plan.name);
    let rendered = |serving: &Serving| {
        let running = observed.running_serving_pods();
        let loads_first = decide::loads_first(serving, before, &running, &observed.reports);
        let config = desired::serving_config(plan, serving, loads_first, store());
        (desired::children(plan, &context.settings, &secrets, &config), config)
    };
    let (mut children, mut config) = rendered(&serving);
    let queued = rolls_out(plan, observed, &serving, &children)
        && serving.choice != Choice::Pinned // Somebody acts on an incident.
        && !context.rollouts.claim(&plan.uid, now.as_second());
    if queued {
        serving = serving.held(before);
        (children, config) = rendered(&serving);
        children.retain(|child| child.kind != Kind::Deployment);
    }
    apply::apply(context, &plan.namespace, &children).await?;
    if let (true, Some(deployment)) = (queued, &observed.deployment)
        && deployment.wanted != plan.spec.serving.replicas
    {
        apply::scale(context, &plan.namespace, &plan.name, plan.spec.serving.replicas).await?;
    }
    let behind = hurry(context, plan, observed, &config).await?;
    Ok(Served { serving, behind, queued })
}

/// Whether an apply would change what the pods of a Deployment that is there serve or are.
fn rolls_out(plan: &Plan, observed: &Observed, serving: &Serving, children: &[Child]) -> bool {
    let Some(deployment) = observed.deployment.as_ref().filter(|_| plan.spec.serving.replicas > 0) else {
        return false;
    };
    let template = children.iter().find_map(|child| child.annotation(TEMPLATE_HASH_ANNOTATION)).unwrap_or_default();
    template != deployment.template || serving.differs(observed.config.as_ref())
}

/// Asks kubelet to bring the config to pods that do not report it. Says whether there were any.
async fn hurry(context: &Context, plan: &Plan, observed: &Observed, config: &ServingConfig) -> Result<bool, Error> {
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

/// Lets the store forget what nothing names any more.
async fn collect(
    context: &Context,
    plan: &Plan,
    observed: &mut Observed,
    serving: &Serving,
    now: Timestamp,
) -> Result<(), Error> {
    let named = Named { serving, before: observed.config.as_ref(), reports: &observed.reports };
    let gone = collect::collect(context, plan, observed, named, now.as_second()).await?;
    if let Ok(results) = &mut observed.runs {
        results.retain(|result| !gone.contains(&result.run));
    }
    Ok(())
}

/// Up to a tenth longer, so that a fleet does not move in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers there is no jitter, and no harm.
    let _ = getrandom::fill(&mut byte);
    pause + pause.mul_f64(f64::from(byte[0]) / 2560.0)
}

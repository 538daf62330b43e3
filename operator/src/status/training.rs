//! Status of runs: the data, the last run, why it failed, and how the user can fix it.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use recommender_crds::{ConditionType, LastRun, Reason, Rows, RunOutcome as StatusOutcome, condition::ConditionUpdate};
use sidecar_contract::{ExitCode, RunOutcome};

use super::{StatusInput, time};
use crate::{
    applied::JobOutcome,
    decide::TrainingDecision,
    memory_quantity::bytes_of_quantity,
    names::Component,
    observed::{JobFacts, JobState, PodFacts, PodProblem},
};

/// Reason and message of a failed run, in the words of the trainer.
fn failure_of(outcome: &RunOutcome) -> Option<(String, String)> {
    match outcome {
        RunOutcome::Trained { .. } | RunOutcome::Unchanged => None,
        RunOutcome::Failed { reason, message } => Some((reason.clone(), message.clone())),
        RunOutcome::Unknown { kind, .. } => {
            let message = format!(
                "the run ended with the outcome {kind}, which this operator does not know: use an operator at least as new as the trainer's image"
            );
            Some((Reason::NotSupported.to_string(), message))
        }
    }
}

/// Why the newest finished run failed, if it did and belongs to the current attempt.
fn failed_run(input: StatusInput<'_>) -> Option<(Reason, String)> {
    let newest = input.results().max_by_key(|r| r.run.number)?;
    let (reason, message) = failure_of(&newest.outcome).filter(|_| newest.run.attempt == input.plan.hashes.attempt)?;
    Some((Reason::parse(&reason).unwrap_or(Reason::TrainingFailed), message))
}

/// Why the newest run of the current attempt failed, with or without a result.
pub(super) fn failure(input: StatusInput<'_>) -> Option<(Reason, String)> {
    failed_run(input).or_else(|| failure_without_result(input).map(|(_, reason, message)| (reason, message)))
}

/// Problem that prevents the trainer pod from being created or from running.
pub(super) fn trainer_problem(input: StatusInput<'_>) -> Option<PodProblem> {
    let TrainingDecision::Running { job } = &input.decision.training else { return None };
    let without_pod = input.observed.jobs.iter().find(|known| known.name == *job)?;
    if let Some(problem) = &without_pod.problem {
        return Some(PodProblem { reason: Reason::TrainingBlocked, message: problem.clone() });
    }
    let trainers = input.observed.pods.iter().filter(|pod| pod.component == Some(Component::Trainer));
    trainers.max_by_key(|pod| pod.run).and_then(|pod| pod.problem.clone())
}

/// The Job of the current attempt that failed without a result, if it is newer than any result.
fn failure_without_result(input: StatusInput<'_>) -> Option<(&JobFacts, Reason, String)> {
    let attempt = &input.plan.hashes.attempt;
    let jobs = input.observed.jobs.iter().filter(|j| j.state == JobState::Failed && j.attempt == *attempt);
    let job = jobs.max_by_key(|j| j.run)?;
    if input.results().any(|r| r.run.number >= job.run) {
        return None;
    }
    let pods: Vec<&PodFacts> = input.observed.pods.iter().filter(|pod| pod.run == Some(job.run)).collect();
    if pods.iter().any(|pod| pod.problem.as_ref().is_some_and(|problem| problem.reason == Reason::OOMKilled)) {
        return Some((job, Reason::OOMKilled, out_of_memory(input)));
    }
    if job.reason == "DeadlineExceeded" {
        let training = &input.plan.spec.training;
        let alternative = training.tuning.as_ref().map_or_else(String::new, |tuning| {
            format!(", or reduce training.tuning ({} trials, budget {})", tuning.trials, tuning.budget)
        });
        let message =
            format!("the run exceeded training.deadline ({}); raise the deadline{alternative}", training.deadline);
        return Some((job, Reason::DeadlineExceeded, message));
    }
    let termination_message = pods.iter().find_map(|pod| pod.termination_message.as_ref());
    let reason = termination_message
        .and_then(|message| Reason::parse(&message.reason))
        .or_else(|| pods.iter().find_map(|pod| pod.exit_code).and_then(reason_of_exit_code));
    let message = termination_message.map_or_else(|| job.message.clone(), |message| message.message.clone());
    Some((job, reason.unwrap_or(Reason::TrainingFailed), message))
}

/// Reason for the exit code of a process that left no termination message.
fn reason_of_exit_code(code: i32) -> Option<Reason> {
    let is = |known: ExitCode| i32::from(known.code()) == code;
    let reasons = [
        (ExitCode::Usage, Reason::ConfigInvalid),
        (ExitCode::BadData, Reason::DataInvalid),
        (ExitCode::NoInput, Reason::SourceNotFound),
        (ExitCode::Diverged, Reason::TrainingDiverged),
        (ExitCode::OutOfCapacity, Reason::CapacityInsufficient),
    ];
    reasons.into_iter().find_map(|(code, reason)| is(code).then_some(reason))
}

/// Message after an OOM kill of the trainer; it recommends twice the current limit.
fn out_of_memory(input: StatusInput<'_>) -> String {
    let resources = input.plan.spec.training.pod.resources.as_ref();
    let limit = resources.and_then(|resources| resources.limits.get("memory")).map(|amount| Quantity::from(amount).0);
    let recommended = limit.as_deref().and_then(twice_in_mebibytes);
    match (limit, recommended) {
        (Some(limit), Some(recommended)) => format!(
            "the trainer was OOMKilled (memory limit {limit}): set training.resources.limits.memory to {recommended}Mi"
        ),
        _ => "the trainer was OOMKilled (no memory limit): set training.resources.requests.memory and limits.memory to more \
              than the free memory of the node, for example 2Gi"
            .to_owned(),
    }
}

/// Twice a quantity of bytes, in MiB; `None` if it is not a plausible memory size.
fn twice_in_mebibytes(quantity: &str) -> Option<u64> {
    let mebibytes = bytes_of_quantity(quantity)?.saturating_mul(2).div_ceil(1 << 20);
    (mebibytes > 0).then_some(mebibytes)
}

pub(super) fn trained(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::Trained;
    if let Err(problem) = &input.observed.runs {
        let message = format!("the store is unreachable, so the trained models are unknown: {problem}");
        return ConditionUpdate::unknown(kind, Reason::StoreUnreachable, message);
    }
    let trained = input.decision.progress.is_trained();
    // A trainer pod that waits for a node does not invalidate an existing model.
    let problem = trainer_problem(input).filter(|problem| !trained || problem.reason != Reason::TrainingPending);
    if let Some(PodProblem { reason, message }) = problem {
        let reason = if reason == Reason::TrainingPending { reason } else { Reason::TrainingBlocked };
        return ConditionUpdate::is_not(kind, reason, message);
    }
    if let Some((reason, message)) = failure(input) {
        return ConditionUpdate::is_not(kind, reason, message);
    }
    if let Some(model) = &input.decision.progress.newest_model {
        let message = format!("run {} trained a model of this spec", model.number);
        return ConditionUpdate::is(kind, Reason::TrainingSucceeded, message);
    }
    match input.applied.job {
        JobOutcome::InProgress => ConditionUpdate::is_not(kind, Reason::TrainingRunning, "a run is in progress"),
        JobOutcome::Queued => {
            let message = format!(
                "queued: no training slot is free for this namespace (chart value operator.trainingsMax is {}; the last quarter is for namespaces without a run)",
                input.trainings_max
            );
            ConditionUpdate::is_not(kind, Reason::TrainingQueued, message)
        }
        JobOutcome::Refused => {
            let message = "the API server rejected the training Job, or an object that it needs";
            ConditionUpdate::is_not(kind, Reason::TrainingPending, message)
        }
        JobOutcome::None if super::is_suspended(input.plan) => {
            ConditionUpdate::is_not(kind, Reason::SuspendedByUser, "no model of this spec: its training is suspended")
        }
        JobOutcome::None => {
            ConditionUpdate::is_not(kind, Reason::TrainingPending, "no run has trained a model of this spec yet")
        }
    }
}

/// Reports an object that the spec references and that does not exist.
pub(super) fn missing_reference(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    let problem = trainer_problem(input).filter(|problem| problem.reason == Reason::ReferenceNotFound)?;
    Some(ConditionUpdate::is(ConditionType::Stalled, problem.reason, problem.message))
}

/// Reports a failed run that a retry with the same inputs would repeat.
pub(super) fn permanent_failure(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    let without_result = || {
        // A transient failure may succeed on retry; one that requires other settings does not.
        let (_, reason, message) = failure_without_result(input)?;
        (!matches!(reason, Reason::TrainingFailed | Reason::SourceUnreachable)).then_some((reason, message))
    };
    let (reason, message) = failed_run(input).or_else(without_result)?;
    Some(ConditionUpdate::is(ConditionType::Stalled, reason, message))
}

/// Reports a training that exceeds its memory; the message contains the value to set.
pub(super) fn capacity(input: StatusInput<'_>) -> Option<ConditionUpdate> {
    let (_, message) =
        failure(input).filter(|(reason, _)| matches!(reason, Reason::CapacityInsufficient | Reason::OOMKilled))?;
    Some(ConditionUpdate::is(ConditionType::CapacityInsufficient, Reason::MemoryInsufficient, message))
}

/// The last value of the annotation whose requested run has succeeded.
pub(super) fn last_handled_retrain_at(input: StatusInput<'_>) -> String {
    match &input.plan.retrain_at {
        Some(requested) if input.decision.progress.request_handled => requested.clone(),
        _ => input.before.last_handled_retrain_at.clone(),
    }
}

/// The run in progress, or else the newest run of the current spec: one of another spec states
/// nothing about this one.
pub(super) fn last_run(input: StatusInput<'_>) -> Option<LastRun> {
    let config_hash = &input.plan.hashes.config;
    let newest = input.results().filter(|r| r.config_hash == *config_hash).max_by_key(|r| r.run.number);
    let running = input
        .observed
        .jobs
        .iter()
        .filter(|job| job.state == JobState::Running && newest.is_none_or(|r| job.run > r.run.number))
        .max_by_key(|job| job.run);
    if let Some(job) = running {
        return Some(LastRun { number: job.run, attempt: job.attempt.clone(), ..LastRun::default() });
    }
    if let Some((job, reason, message)) = failure_without_result(input) {
        return Some(LastRun {
            number: job.run,
            attempt: job.attempt.clone(),
            outcome: StatusOutcome::Failed,
            reason: reason.to_string(),
            message,
            finished_at: time(job.finished_at),
            ..LastRun::default()
        });
    }
    let result = newest?;
    let outcome = match result.outcome {
        RunOutcome::Trained { .. } => StatusOutcome::Trained,
        RunOutcome::Unchanged => StatusOutcome::Unchanged,
        RunOutcome::Failed { .. } | RunOutcome::Unknown { .. } => StatusOutcome::Failed,
    };
    let (reason, message) = failure_of(&result.outcome).unwrap_or_default();
    Some(LastRun {
        number: result.run.number,
        attempt: result.run.attempt.clone(),
        outcome,
        reason,
        message,
        started_at: time(result.started_at),
        finished_at: time(result.finished_at),
        data_version: result.data_version.clone(),
        report: format!("{}{}.html", sidecar_contract::paths::REPORTS, result.run),
        rows: Some(Rows {
            read: result.rows.read,
            kept: result.rows.kept,
            dropped: result.rows.dropped.clone(),
            merged: result.rows.merged,
            reinterpreted: result.rows.reinterpreted.clone(),
        }),
    })
}

#[cfg(test)]
mod tests;

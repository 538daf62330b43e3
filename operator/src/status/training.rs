//! What the status says of runs: the data, the last one, why one failed, and what the user can do about it.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use recommender_crds::{ConditionType, LastRun, Reason, Rows, RunOutcome as StatusOutcome, condition::Verdict};
use sidecar_contract::{ExitCode, RunOutcome, RunResult};

use super::{Facts, results, serving, time};
use crate::{
    decide::{self, Past, Training},
    names::Component,
    observe::{JobFacts, JobState, PodFacts, Trouble},
};

fn past(facts: Facts<'_>) -> Past<'_> {
    Past { results: results(facts), jobs: &facts.observed.jobs, before: facts.before }
}

pub(super) fn known_trained(facts: Facts<'_>) -> bool {
    facts.observed.runs.as_ref().is_ok_and(|results| decide::is_trained(facts.plan, results))
}

/// The newest finished run, if it failed and was of what is wanted now.
fn failed_run(facts: Facts<'_>) -> Option<(&RunResult, Reason, &str)> {
    let newest = results(facts).iter().max_by_key(|r| r.run.number)?;
    match &newest.outcome {
        RunOutcome::Failed { reason, message } if newest.run.attempt == decide::attempt(facts.plan) => {
            Some((newest, Reason::parse(reason).unwrap_or(Reason::TrainingFailed), message))
        }
        _ => None,
    }
}

/// Why the newest run of what is wanted now failed, with or without a result.
fn failure(facts: Facts<'_>) -> Option<(Reason, String)> {
    failed_run(facts)
        .map(|(_, reason, message)| (reason, message.to_owned()))
        .or_else(|| silent_failure(facts).map(|(_, reason, message)| (reason, message)))
}

/// What keeps the training pod from running, if anything does.
fn trainer_trouble(facts: Facts<'_>) -> Option<&Trouble> {
    let Training::Running { .. } = facts.training else { return None };
    let trainers = facts.observed.pods.iter().filter(|pod| pod.component == Some(Component::Trainer));
    trainers.max_by_key(|pod| pod.run).and_then(|pod| pod.trouble.as_ref())
}

/// The Job of the present attempt that failed without a result, if it is the newest word.
fn silent_failure(facts: Facts<'_>) -> Option<(&JobFacts, Reason, String)> {
    let attempt = decide::attempt(facts.plan);
    let jobs = facts.observed.jobs.iter().filter(|j| j.state == JobState::Failed && j.attempt == attempt);
    let job = jobs.max_by_key(|j| j.run)?;
    if results(facts).iter().any(|r| r.run.number >= job.run) {
        return None;
    }
    let pods: Vec<&PodFacts> = facts.observed.pods.iter().filter(|pod| pod.run == Some(job.run)).collect();
    if pods.iter().any(|pod| pod.trouble.as_ref().is_some_and(|t| t.reason == Reason::OOMKilled)) {
        return Some((job, Reason::OOMKilled, out_of_memory(facts)));
    }
    if job.reason == "DeadlineExceeded" {
        let training = &facts.plan.spec.training;
        let or_else = training.tuning.as_ref().map_or_else(String::new, |tuning| {
            format!(", or lower training.tuning: {} trials in at most {}", tuning.trials, tuning.budget)
        });
        let message = format!("the run took longer than training.deadline, {}; raise it{or_else}", training.deadline);
        return Some((job, Reason::DeadlineExceeded, message));
    }
    let hint = pods.iter().find_map(|pod| pod.hint.as_ref());
    let reason = hint
        .and_then(|hint| Reason::parse(&hint.reason))
        .or_else(|| pods.iter().find_map(|pod| pod.exit_code).and_then(reason_of_exit_code));
    let said = hint.map_or_else(|| job.message.clone(), |hint| hint.message.clone());
    Some((job, reason.unwrap_or(Reason::TrainingFailed), said))
}

/// Why a process ended that left no word.
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

/// What to set after the trainer was killed for its memory: twice what it had.
fn out_of_memory(facts: Facts<'_>) -> String {
    let resources = facts.plan.spec.training.pod.resources.as_ref();
    let limit = resources.and_then(|resources| resources.limits.get("memory")).map(|amount| Quantity::from(amount).0);
    let number = limit.as_deref().and_then(twice_in_mebibytes);
    match (limit, number) {
        (Some(limit), Some(number)) => format!(
            "the trainer was killed for memory, of which it may have {limit}: set training.resources.limits.memory to {number}Mi"
        ),
        _ => "the trainer was killed for memory, and has no limit of its own: set training.resources.requests.memory and \
              limits.memory to more than the node had left, for example 2Gi"
            .to_owned(),
    }
}

/// Twice a quantity of bytes, in MiB; `None` when it is not one that people write for memory.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
fn twice_in_mebibytes(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 10] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("m", 1e-3),
        ("", 1.0),
    ];
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((quantity.strip_suffix(suffix)?, unit)))?;
    let mebibytes = (2.0 * number.parse::<f64>().ok()? * unit / 1_048_576.0).ceil();
    (1.0..1e12).contains(&mebibytes).then_some(mebibytes as u64)
}

pub(super) fn data_ready(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::DataReady;
    if let Some(trouble) = trainer_trouble(facts).filter(|t| t.reason == Reason::ReferenceNotFound) {
        return Verdict::is_not(kind, trouble.reason, &*trouble.message);
    }
    if let Some((_, reason, message)) = failed_run(facts) {
        if matches!(reason, Reason::DataInvalid | Reason::SourceNotFound | Reason::TooFewInteractions) {
            return Verdict::is_not(kind, reason, message);
        }
        return Verdict::is(kind, Reason::DataRead, "the data was read by the last run");
    }
    // A run that found the data unchanged has read no rows.
    let read = results(facts).iter().filter(|r| !matches!(r.outcome, RunOutcome::Unchanged));
    match read.max_by_key(|r| r.run.number) {
        Some(result) => {
            let rows = &result.rows;
            let dropped: u64 = rows.dropped.values().sum();
            let message =
                format!("{} of {} rows kept, {dropped} dropped, {} merged", rows.kept, rows.read, rows.merged);
            Verdict::is(kind, Reason::DataRead, message)
        }
        None => Verdict::unknown(kind, Reason::DataNotChecked, "no run has read the data yet"),
    }
}

pub(super) fn trained(facts: Facts<'_>) -> Verdict {
    let kind = ConditionType::Trained;
    if let Err(problem) = &facts.observed.runs {
        let message = format!("the store does not answer, what is trained is unknown: {problem}");
        return Verdict::unknown(kind, Reason::StoreUnreachable, message);
    }
    let trained = known_trained(facts);
    // A pod of the nightly run that waits for a node takes nothing away from the model that is there.
    let trouble = trainer_trouble(facts).filter(|trouble| !trained || trouble.reason != Reason::TrainingPending);
    if let Some(trouble) = trouble {
        return Verdict::is_not(kind, Reason::TrainingPending, &*trouble.message);
    }
    if let Some((reason, message)) = failure(facts) {
        return Verdict::is_not(kind, reason, message);
    }
    if let Some(model) = decide::newest_model(facts.plan, results(facts)) {
        let message = format!("run {} trained a model of this spec", model.run.number);
        return Verdict::is(kind, Reason::TrainingSucceeded, message);
    }
    match facts.training {
        Training::Queued => {
            let message = format!(
                "{} Recommenders train, as many as may at once (chart value operator.trainingsMax); this one waits its turn",
                facts.trainings_max
            );
            Verdict::is_not(kind, Reason::TrainingQueued, message)
        }
        Training::Running { .. } | Training::Start { .. } | Training::Replace { .. } => {
            Verdict::is_not(kind, Reason::TrainingRunning, "a run is under way")
        }
        Training::Idle { .. } | Training::Wait { .. } => {
            Verdict::is_not(kind, Reason::TrainingPending, "no run has made a model of this spec")
        }
    }
}

/// What only the user can mend.
pub(super) fn stall(facts: Facts<'_>) -> Option<Verdict> {
    let kind = ConditionType::Stalled;
    if let Some(trouble) = trainer_trouble(facts).filter(|t| t.reason == Reason::ReferenceNotFound) {
        return Some(Verdict::is(kind, trouble.reason, &*trouble.message));
    }
    if let Some(stall) = serving::pin_not_found(facts) {
        return Some(stall);
    }
    if let Some((_, reason, message)) = failed_run(facts) {
        return Some(Verdict::is(kind, reason, message));
    }
    // A run that the world made fail may succeed by itself; one that needs more or other settings may not.
    let settings = |reason: &Reason| !matches!(reason, Reason::TrainingFailed);
    if let Some((_, reason, message)) = silent_failure(facts).filter(|(_, reason, _)| settings(reason)) {
        return Some(Verdict::is(kind, reason, message));
    }
    // While a run may change that, nobody has to act.
    let idle = matches!(facts.training, Training::Idle { .. } | Training::Wait { .. });
    serving::nothing_may_serve(facts).filter(|_| idle)
}

/// Training that does not fit into the memory that it may have; the message holds the number to set.
pub(super) fn capacity(facts: Facts<'_>) -> Option<Verdict> {
    let (_, message) =
        failure(facts).filter(|(reason, _)| matches!(reason, Reason::CapacityInsufficient | Reason::OOMKilled))?;
    Some(Verdict::is(ConditionType::CapacityInsufficient, Reason::MemoryInsufficient, message))
}

pub(super) fn failures(facts: Facts<'_>) -> u32 {
    decide::failures(facts.plan, past(facts)).count
}

/// What the annotation asked for last, once the run was made.
pub(super) fn last_handled_retrain_at(facts: Facts<'_>) -> String {
    match &facts.plan.retrain_at {
        Some(asked) if decide::is_honoured(facts.plan, past(facts)) => asked.clone(),
        _ => facts.before.last_handled_retrain_at.clone(),
    }
}

pub(super) fn last_run(facts: Facts<'_>) -> Option<LastRun> {
    let newest = results(facts).iter().max_by_key(|r| r.run.number);
    let running = facts
        .observed
        .jobs
        .iter()
        .filter(|job| job.state == JobState::Running && newest.is_none_or(|r| job.run > r.run.number))
        .max_by_key(|job| job.run);
    if let Some(job) = running {
        return Some(LastRun { number: job.run, attempt: job.attempt.clone(), ..LastRun::default() });
    }
    if let Some((job, reason, message)) = silent_failure(facts) {
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
    let (outcome, reason, message) = match &result.outcome {
        RunOutcome::Trained { .. } => (StatusOutcome::Trained, String::new(), String::new()),
        RunOutcome::Unchanged => (StatusOutcome::Unchanged, String::new(), String::new()),
        RunOutcome::Failed { reason, message } => (StatusOutcome::Failed, reason.clone(), message.clone()),
    };
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
        }),
    })
}

#[cfg(test)]
mod tests;

//! When the next pass of a Recommender runs if nothing triggers it before.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::{
    applied::{Applied, JobOutcome},
    decide::Decision,
    error::Error,
    observed::Observed,
    pause::{Pauses, jittered},
    validate::Rejection,
};

/// Interval while pods start or load a model, and while runs stop.
const SETTLING_POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Number of polls at that interval; then it doubles, up to the maximum.
const SETTLING_POLLS: u32 = 30;
/// Longest interval while pods start or load a model.
const SETTLING_POLL_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// While runs stop, the interval is the time that they have taken divided by this.
const STOPPING_POLLS: u32 = 30;
/// Interval while a Job is queued. A grant triggers a pass; this interval covers a missed grant.
const QUEUE_POLL_INTERVAL: Duration = Duration::from_mins(1);
/// Interval while names conflict. The most common cause is a deleted Recommender of the same name
/// whose children are still being deleted; the deletion of some kinds triggers no pass.
const NAME_CONFLICT_INTERVAL: Duration = Duration::from_secs(10);

/// Interval after the Recommender changed during a pass.
const CHANGED_INTERVAL: Duration = Duration::from_secs(1);
/// Pauses after passes that failed, for example because the API server did not answer.
const ERROR_PAUSES: Pauses = Pauses { first: Duration::from_secs(2), max: Duration::from_mins(1) };
/// Pauses after passes in which the API server rejected a write, which only a user can change.
const REFUSED_PAUSES: Pauses = Pauses { first: Duration::from_secs(5), max: Duration::from_mins(2) };

/// After a pass that ran all steps. `polls` counts the passes since the last change if the
/// Recommender has not settled.
pub fn after_pass(
    observed: &Observed,
    decision: &Decision,
    applied: &Applied,
    polls: Option<u32>,
    resync: Duration,
    now: i64,
) -> Action {
    let next = if let Some(polls) = polls {
        settling_interval(polls)
    } else if [applied.job, applied.batch, applied.catalogue].contains(&JobOutcome::Queued) {
        jittered(QUEUE_POLL_INTERVAL)
    } else {
        let regular = jittered(resync);
        let seconds_until = |next: i64| u64::try_from(next.saturating_sub(now)).unwrap_or(0).max(1);
        let due = decision.next_due(now).map(seconds_until);
        due.map_or(regular, |seconds| Duration::from_secs(seconds).min(regular))
    };
    Action::requeue(observed.look_again_after.map_or(next, |after| after.min(next)))
}

/// After a pass of a composition. `polls` is as for [`after_pass`]. A change of its parts triggers a
/// pass.
pub fn after_composition(polls: Option<u32>, resync: Duration) -> Action {
    Action::requeue(polls.map_or_else(|| jittered(resync), settling_interval))
}

/// Pods that load a model report it without a change that a watch could see. Those that have not
/// after a minute are asked less and less often.
fn settling_interval(polls: u32) -> Duration {
    let Some(more) = polls.checked_sub(SETTLING_POLLS).filter(|more| *more > 0) else { return SETTLING_POLL_INTERVAL };
    Pauses { first: SETTLING_POLL_INTERVAL, max: SETTLING_POLL_INTERVAL_MAX }.after(more.saturating_add(1))
}

/// While a Recommender is at rest: until it is read again, its store is tried, or a run is due.
pub fn while_at_rest(due_at: Option<i64>, until_check: Duration, now: i64) -> Action {
    let due = due_at.map(|due_at| Duration::from_secs(u64::try_from(due_at.saturating_sub(now)).unwrap_or(0)));
    let next = due.map_or(until_check, |due| due.min(until_check));
    Action::requeue(jittered(next).max(CHANGED_INTERVAL))
}

/// After a pass that failed; `failures` counts consecutive ones.
pub fn after_error(error: &Error, failures: u32) -> Action {
    Action::requeue(match error {
        Error::Changed { .. } => CHANGED_INTERVAL,
        refused if refused.rejection().is_some() => REFUSED_PAUSES.after(failures),
        _ => ERROR_PAUSES.after(failures),
    })
}

/// After a rejection. A change of the spec triggers a pass.
pub fn after_rejection(rejection: &Rejection, resync: Duration) -> Action {
    Action::requeue(jittered(match rejection {
        Rejection::InvalidSpec(_) => resync,
        Rejection::NameConflict(_) => NAME_CONFLICT_INTERVAL,
    }))
}

/// While the runs of a deleted Recommender stop, for `waited` until now. Those on a node that is lost
/// may take as long as the node.
pub fn while_runs_stop(waited: Duration) -> Action {
    Action::requeue((waited / STOPPING_POLLS).clamp(SETTLING_POLL_INTERVAL, SETTLING_POLL_INTERVAL_MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use recommender_crds::RecommenderStatus;

    use super::*;
    use crate::{
        decide::{Backoff, TrainingDecision, TrainingTiming, decide},
        observed::Observed,
        validate,
    };

    const NOW: i64 = 1000;
    const RESYNC: Duration = Duration::from_mins(5);

    fn decision(training: TrainingDecision) -> Decision {
        let yaml = "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {name: movies}\n\
                    spec: {data: {source: {url: 's3://x/y.csv'}}}\n";
        let plan = validate::plan(&serde_yaml_ng::from_str(yaml).unwrap(), &BTreeMap::new()).unwrap();
        let timing = TrainingTiming { backoff: Backoff { min: 10, max: 60 }, data_check_seconds: 0 };
        let decided = decide(&plan, &Observed::nothing(), &RecommenderStatus::default(), timing, NOW);
        Decision { training, ..decided }
    }

    #[test]
    fn the_next_pass_runs_when_a_run_is_due() {
        let seconds = |seconds| Action::requeue(Duration::from_secs(seconds));
        let idle_until = |next| TrainingDecision::Idle { next: Some(next) };
        for (training, expected) in [
            (TrainingDecision::Wait { seconds: 30 }, 31),
            (idle_until(NOW + 60), 60),
            (idle_until(NOW), 1),
            (idle_until(NOW - 60), 1),
        ] {
            let decision = decision(training);
            assert_eq!(
                after_pass(&Observed::nothing(), &decision, &Applied::default(), None, RESYNC, NOW),
                seconds(expected),
                "{decision:?}"
            );
            let unsettled = after_pass(&Observed::nothing(), &decision, &Applied::default(), Some(30), RESYNC, NOW);
            assert_eq!(unsettled, Action::requeue(SETTLING_POLL_INTERVAL));
        }
    }

    #[test]
    fn runs_that_do_not_stop_are_polled_less_and_less_often() {
        for (waited, interval) in [(0, 2), (60, 2), (300, 10), (3600, 60)] {
            let expected = Action::requeue(Duration::from_secs(interval));
            assert_eq!(while_runs_stop(Duration::from_secs(waited)), expected, "after {waited} s");
        }
    }

    #[test]
    fn pods_that_do_not_settle_are_polled_less_and_less_often() {
        assert_eq!(settling_interval(0), SETTLING_POLL_INTERVAL);
        assert_eq!(settling_interval(SETTLING_POLLS), SETTLING_POLL_INTERVAL);
        // Pauses are shortened by up to a half.
        assert!(settling_interval(SETTLING_POLLS + 3) >= 4 * SETTLING_POLL_INTERVAL);
        for polls in [SETTLING_POLLS + 10, u32::MAX] {
            let interval = settling_interval(polls);
            assert!(
                interval >= SETTLING_POLL_INTERVAL_MAX / 2 && interval <= SETTLING_POLL_INTERVAL_MAX,
                "{interval:?}"
            );
        }
    }
}

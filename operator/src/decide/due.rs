//! When the next run of a spec is due: because no model of it exists, on request, by the schedule,
//! or to check whether the data changed. After a failed run, a retry is due until one succeeds; the
//! back-off determines how soon it starts.

use sidecar_contract::Digest;

use super::Progress;
use crate::validate::Plan;

/// Why a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// No model of this spec exists.
    NewSpec,
    /// The annotation requests a run.
    Requested,
    /// The last run failed.
    Retry,
    /// The schedule.
    Scheduled,
    /// Periodic check whether the data changed.
    DataCheck,
}

impl Trigger {
    /// Word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewSpec => "new spec",
            Self::Requested => "requested",
            Self::Retry => "retry",
            Self::Scheduled => "schedule",
            Self::DataCheck => "data check",
        }
    }

    /// Whether the trainer may exit without training if the data of the newest model has not
    /// changed.
    pub fn may_skip_if_unchanged(self) -> bool {
        match self {
            Self::NewSpec | Self::Requested => false,
            Self::Retry | Self::Scheduled | Self::DataCheck => true,
        }
    }
}

/// When a run is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Now.
    Now(Trigger),
    /// At this second since 1970.
    At(i64),
    /// Only after a change.
    Never,
}

/// When the next run is due. `data_check_seconds` is the default interval of data checks; 0
/// disables them.
pub(super) fn due(plan: &Plan, progress: &Progress, data_check_seconds: u64, now: i64) -> Due {
    if plan.spec.suspend || plan.spec.training.suspend {
        return Due::Never;
    }
    if !progress.is_trained() {
        return Due::Now(Trigger::NewSpec);
    }
    if !progress.request_handled {
        return Due::Now(Trigger::Requested);
    }
    if progress.failed_since_success {
        return Due::Now(Trigger::Retry);
    }
    let last = progress.last_success_at;
    let scheduled = plan.training.schedule.as_ref().and_then(|schedule| {
        // A start missed by more than the deadline is skipped, and several missed starts are made
        // up for by one run.
        schedule.next_after(last.max(now.saturating_sub(signed(plan.training.starting_deadline.as_secs())) - 1))
    });
    let checked = data_check_interval(plan, data_check_seconds).map(|seconds| last.saturating_add(signed(seconds)));
    match (scheduled, checked) {
        (Some(at), _) if at <= now => Due::Now(Trigger::Scheduled),
        (_, Some(at)) if at <= now => Due::Now(Trigger::DataCheck),
        (scheduled, checked) => scheduled.into_iter().chain(checked).min().map_or(Due::Never, Due::At),
    }
}

/// Seconds from one run to the next data check. The uid of the Recommender adds up to a quarter,
/// which spreads the checks of a fleet over time.
fn data_check_interval(plan: &Plan, default_seconds: u64) -> Option<u64> {
    let seconds = match plan.training.data_check_interval {
        Some(explicit) => explicit.as_secs(),
        None if plan.training.schedule.is_some() || plan.spec.serving.replicas == 0 => 0,
        None => default_seconds,
    };
    let digest = Digest::of(plan.uid.as_bytes());
    let splay = u64::from_str_radix(digest.as_str().get(..8).unwrap_or("0"), 16).unwrap_or(0);
    (seconds > 0).then(|| seconds.saturating_add(splay % (seconds / 4 + 1)))
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX / 4)
}

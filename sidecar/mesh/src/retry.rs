//! Whether a request is tried again.

use std::time::Duration;

use crate::{limits::TRIES_MAX, outcome::TryOutcome};

/// Time below which another try cannot succeed.
const TIME_MIN: Duration = Duration::from_millis(1);

/// What happens after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// The request is sent again.
    Retried,
    /// The request must not be repeated, or is a retry itself: a retry of a retry would multiply
    /// the load.
    NotAllowed,
    /// The maximum number of tries was made.
    NoMoreTries,
    /// No time is left.
    NoTime,
    /// The budget of retries is used up.
    NoBudget,
}

impl RetryDecision {
    /// All decisions.
    pub const ALL: [Self; 5] = [Self::Retried, Self::NotAllowed, Self::NoMoreTries, Self::NoTime, Self::NoBudget];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::NotAllowed => "not-allowed",
            Self::NoMoreTries => "no-more-tries",
            Self::NoTime => "no-time",
            Self::NoBudget => "no-budget",
        }
    }
}

/// Decides after a try; `None` if there is nothing to decide, because another try would not help.
/// The budget is asked last, because asking takes from it.
pub fn decide(
    outcome: TryOutcome,
    tries: usize,
    is_allowed: bool,
    left: Duration,
    take_from_budget: impl FnOnce() -> bool,
) -> Option<RetryDecision> {
    outcome.is_retryable().then(|| match () {
        () if !is_allowed => RetryDecision::NotAllowed,
        () if tries >= TRIES_MAX => RetryDecision::NoMoreTries,
        () if left < TIME_MIN => RetryDecision::NoTime,
        () if !take_from_budget() => RetryDecision::NoBudget,
        () => RetryDecision::Retried,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_asked_only_if_everything_else_allows_a_retry() {
        let second = Duration::from_secs(1);
        let budget_asked = |budget: Option<bool>| budget.expect("the budget is not asked");
        let decide = |outcome, tries, is_allowed, left, budget| {
            decide(outcome, tries, is_allowed, left, || budget_asked(budget))
        };
        let lost = TryOutcome::ConnectionLost;
        assert_eq!(decide(lost, 1, true, second, Some(true)), Some(RetryDecision::Retried));
        assert_eq!(decide(lost, 2, true, second, Some(false)), Some(RetryDecision::NoBudget));
        assert_eq!(decide(lost, 3, true, second, None), Some(RetryDecision::NoMoreTries));
        assert_eq!(decide(lost, 1, true, Duration::ZERO, None), Some(RetryDecision::NoTime));
        assert_eq!(decide(lost, 1, false, second, None), Some(RetryDecision::NotAllowed));
        for outcome in [TryOutcome::Answered, TryOutcome::TooLarge, TryOutcome::Cancelled] {
            assert_eq!(decide(outcome, 1, true, second, None), None);
        }
    }
}

//! How a try ended, and what this means for its pod and for a retry.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::{
    ejection::Evidence,
    limits::{FAILURE_PENALTY, PENALTY_MAX, TIMEOUT_EVIDENCE_MIN},
};

/// Header of a 502, 503 or 504 of a pod that works, but asked other Recommenders, none of which
/// answered: another pod of the same Recommender would ask the same ones.
pub const PARTS_FAILED_HEADER: &str = "x-recmesh-parts-failed";

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryOutcome {
    /// With an answer; also with one that rejects the request.
    Answered,
    /// 429.
    Limited,
    /// 502, 503 or 504.
    Unavailable,
    /// The same, because what the pod itself asked did not answer ([`PARTS_FAILED_HEADER`]).
    PartsFailed,
    /// Another status of 500 or above.
    ServerError,
    /// No connection could be opened.
    ConnectFailed,
    /// The connection ended before the answer did.
    ConnectionLost,
    /// The time of the try ended.
    TimedOut,
    /// The answer exceeds the limit of one answer, or of all together.
    TooLarge,
    /// 403: the pod answers only over mutual TLS.
    Refused,
    /// The client went away.
    Cancelled,
}

impl TryOutcome {
    /// All outcomes.
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::Limited,
        Self::Unavailable,
        Self::PartsFailed,
        Self::ServerError,
        Self::ConnectFailed,
        Self::ConnectionLost,
        Self::TimedOut,
        Self::TooLarge,
        Self::Refused,
        Self::Cancelled,
    ];

    /// Outcome of an answer with this status and these headers.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Limited,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
                if headers.contains_key(PARTS_FAILED_HEADER) =>
            {
                Self::PartsFailed
            }
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Self::Unavailable
            }
            // Serving pods answer nothing else with it.
            StatusCode::FORBIDDEN => Self::Refused,
            status if status.is_server_error() => Self::ServerError,
            _ => Self::Answered,
        }
    }

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::PartsFailed => "parts-failed",
            Self::ServerError => "server-error",
            Self::ConnectFailed => "connect-failed",
            Self::ConnectionLost => "connection-lost",
            Self::TimedOut => "timed-out",
            Self::TooLarge => "too-large",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether another pod could answer.
    pub fn is_retryable(self) -> bool {
        !matches!(self, Self::Answered | Self::PartsFailed | Self::TooLarge | Self::Refused | Self::Cancelled)
    }

    /// What the try, which had this time, says about its pod. A serving pod refuses a request at
    /// once if its wait would take longer than that.
    pub fn evidence(self, given: Duration) -> Evidence {
        match self {
            Self::Answered | Self::TooLarge => Evidence::Success,
            Self::Limited => Evidence::Limited,
            Self::TimedOut | Self::Unavailable if given < TIMEOUT_EVIDENCE_MIN => Evidence::None,
            Self::Unavailable | Self::ServerError | Self::ConnectFailed | Self::ConnectionLost | Self::TimedOut => {
                Evidence::Failure
            }
            // All pods of a Recommender refuse the same, and ask the same parts; they are well.
            Self::PartsFailed | Self::Refused | Self::Cancelled => Evidence::None,
        }
    }

    /// Latency that the try counts as. A pod that fails fast counts as slow; also one whose parts
    /// failed, so that a pod which alone does not reach them does not attract the requests.
    pub fn latency(self, took: Duration, retry_after: Option<Duration>) -> Duration {
        match self {
            Self::Answered | Self::TooLarge | Self::TimedOut | Self::Cancelled => took,
            Self::Limited
            | Self::Unavailable
            | Self::PartsFailed
            | Self::ServerError
            | Self::ConnectFailed
            | Self::ConnectionLost
            | Self::Refused => took.max(FAILURE_PENALTY).max(retry_after.unwrap_or_default()).min(PENALTY_MAX),
        }
    }
}

/// The pause that an answer asks for, if it is a number of seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_request_is_no_failure_of_the_pod() {
        let outcome = |status: u16| TryOutcome::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        let evidence = |status: u16| outcome(status).evidence(Duration::from_secs(1));
        for status in [200, 204, 301, 400, 404, 413, 422] {
            assert_eq!(evidence(status), Evidence::Success, "{status}");
        }
        for status in [500, 501, 502, 503, 504, 599] {
            assert_eq!(evidence(status), Evidence::Failure, "{status}");
        }
        assert_eq!((evidence(429), evidence(403)), (Evidence::Limited, Evidence::None));
    }

    #[test]
    fn a_pod_whose_parts_failed_is_well_and_no_other_one_could_answer() {
        let headers = [(PARTS_FAILED_HEADER.parse().unwrap(), "true".parse().unwrap())].into_iter().collect();
        let second = Duration::from_secs(1);
        for status in [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT] {
            let outcome = TryOutcome::of(status, &headers);
            assert_eq!((outcome, outcome.evidence(second)), (TryOutcome::PartsFailed, Evidence::None), "{status}");
            assert!(!outcome.is_retryable());
        }
        // The header changes nothing about other statuses.
        for (status, outcome) in
            [(200, TryOutcome::Answered), (429, TryOutcome::Limited), (500, TryOutcome::ServerError)]
        {
            assert_eq!(TryOutcome::of(StatusCode::from_u16(status).unwrap(), &headers), outcome);
        }
    }

    #[test]
    fn failures_count_as_slow_and_a_short_timeout_says_nothing() {
        let (fast, second) = (Duration::from_millis(1), Duration::from_secs(1));
        assert_eq!(TryOutcome::Answered.latency(fast, None), fast);
        assert_eq!(TryOutcome::Unavailable.latency(fast, None), second);
        assert_eq!(TryOutcome::Limited.latency(fast, Some(second * 7)), second * 7);
        assert_eq!(TryOutcome::Limited.latency(fast, Some(second * 86_400)), PENALTY_MAX);
        for outcome in [TryOutcome::TimedOut, TryOutcome::Unavailable] {
            assert_eq!(outcome.evidence(fast), Evidence::None);
            assert_eq!(outcome.evidence(TIMEOUT_EVIDENCE_MIN), Evidence::Failure);
        }
        assert_eq!(TryOutcome::ConnectionLost.evidence(fast), Evidence::Failure);
    }

    #[test]
    fn retry_after_is_a_number_of_seconds() {
        let headers = |value: &str| [(header::RETRY_AFTER, value.parse().unwrap())].into_iter().collect();
        assert_eq!(retry_after(&headers("2")), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}

//! Ejection: a pod that fails gets no requests for a while, then one as a probe. The periods double
//! until a probe succeeds.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{CONSECUTIVE_FAILURES_MAX, EJECTION_MAX, EJECTION_MIN, SUCCESS_RATE_MIN, WINDOW, WINDOW_TRIES_MIN};

/// Why a pod was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionReason {
    /// Consecutive failures.
    Consecutive,
    /// Too few successes in the window.
    SuccessRate,
    /// A probe failed.
    Probe,
}

impl EjectionReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Consecutive, Self::SuccessRate, Self::Probe];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::SuccessRate => "success-rate",
            Self::Probe => "probe",
        }
    }
}

/// What an ended try says about its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The pod works.
    Success,
    /// The pod fails.
    Failure,
    /// The pod limits its rate: this counts for the success rate, and fails a probe, but is no
    /// consecutive failure.
    Limited,
    /// Nothing: the client went away, or gave too little time.
    None,
}

/// Whether a pod may get a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Any request.
    Available,
    /// One request, as a probe.
    ProbeDue,
    /// None.
    Ejected,
}

/// Health of one pod.
#[derive(Debug)]
pub struct Ejection {
    state: State,
    consecutive_failures: u32,
    window: SuccessWindow,
    /// Length of the next ejection.
    next_period: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Available,
    Ejected { until: Instant },
    Probing,
}

impl Ejection {
    /// A pod that may get requests.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Available,
            consecutive_failures: 0,
            window: SuccessWindow::new(now),
            next_period: EJECTION_MIN,
        }
    }

    /// Whether the pod may get a request now.
    pub fn availability(&self, now: Instant) -> Availability {
        match self.state {
            State::Available => Availability::Available,
            State::Ejected { until } if until <= now => Availability::ProbeDue,
            State::Ejected { .. } | State::Probing => Availability::Ejected,
        }
    }

    /// Records the begin of a try; returns whether it is a probe.
    pub fn begin(&mut self, now: Instant) -> bool {
        let is_probe = self.availability(now) == Availability::ProbeDue;
        if is_probe {
            self.state = State::Probing;
        }
        is_probe
    }

    /// Records the end of a try; returns why the pod was ejected, if it was.
    pub fn end(&mut self, evidence: Evidence, is_probe: bool, now: Instant) -> Option<EjectionReason> {
        if is_probe {
            return self.end_probe(evidence, now);
        }
        match evidence {
            Evidence::None => return None,
            Evidence::Success => self.consecutive_failures = 0,
            Evidence::Failure => self.consecutive_failures += 1,
            Evidence::Limited => {}
        }
        self.window.record(evidence == Evidence::Success, now);
        // Tries that began before the ejection end after it.
        if !matches!(self.state, State::Available) {
            return None;
        }
        let reason = if self.consecutive_failures >= CONSECUTIVE_FAILURES_MAX {
            EjectionReason::Consecutive
        } else if self.window.is_failing() {
            EjectionReason::SuccessRate
        } else {
            return None;
        };
        self.eject(now);
        Some(reason)
    }

    fn end_probe(&mut self, evidence: Evidence, now: Instant) -> Option<EjectionReason> {
        match evidence {
            Evidence::Success => {
                *self = Self::new(now);
                None
            }
            Evidence::Failure | Evidence::Limited => {
                self.eject(now);
                Some(EjectionReason::Probe)
            }
            Evidence::None => {
                self.state = State::Ejected { until: now };
                None
            }
        }
    }

    fn eject(&mut self, now: Instant) {
        self.state = State::Ejected { until: now + self.next_period };
        self.next_period = (self.next_period * 2).min(EJECTION_MAX);
    }
}

/// Successes and tries of the current window and the one before.
#[derive(Debug)]
struct SuccessWindow {
    begin: Instant,
    current: Counts,
    previous: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    tries: u32,
    successes: u32,
}

impl SuccessWindow {
    fn new(now: Instant) -> Self {
        Self { begin: now, current: Counts::default(), previous: Counts::default() }
    }

    fn record(&mut self, is_success: bool, now: Instant) {
        let age = now.saturating_duration_since(self.begin);
        if age >= WINDOW {
            self.previous = if age < WINDOW * 2 { self.current } else { Counts::default() };
            self.current = Counts::default();
            self.begin = now;
        }
        self.current.tries = self.current.tries.saturating_add(1);
        self.current.successes = self.current.successes.saturating_add(is_success.into());
    }

    fn is_failing(&self) -> bool {
        let tries = self.current.tries.saturating_add(self.previous.tries);
        let successes = self.current.successes.saturating_add(self.previous.successes);
        tries >= WINDOW_TRIES_MIN && f64::from(successes) < SUCCESS_RATE_MIN * f64::from(tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records tries without probes, and returns the first ejection.
    fn end_all(ejection: &mut Ejection, evidence: &[Evidence], now: Instant) -> Option<(usize, EjectionReason)> {
        let mut ended = evidence.iter().enumerate();
        ended.find_map(|(index, evidence)| Some((index, ejection.end(*evidence, false, now)?)))
    }

    #[test]
    fn consecutive_failures_eject_and_a_success_starts_the_count_again() {
        use Evidence::{Failure, None as Nothing, Success};
        let now = Instant::now();
        let mut ejection = Ejection::new(now);
        let four = [Failure; 4];
        let tries = [&four[..], &[Success], &four, &[Nothing; 9], &[Failure]].concat();
        assert_eq!(end_all(&mut ejection, &tries, now), Some((18, EjectionReason::Consecutive)));
        assert_eq!(ejection.availability(now), Availability::Ejected);
        assert_eq!(ejection.end(Failure, false, now), None, "a late failure does not eject again");
    }

    #[test]
    fn a_low_success_rate_ejects_also_when_failures_are_limits_or_alternate() {
        use Evidence::{Failure, Limited, Success};
        let now = Instant::now();
        // 9 of 20 is below one half, 10 of 20 is not.
        let nine: Vec<Evidence> = (0..20).map(|i| if i % 2 == 0 && i > 1 { Success } else { Failure }).collect();
        let ten: Vec<Evidence> = (0..20).map(|i| if i % 2 == 0 { Success } else { Limited }).collect();
        assert_eq!(end_all(&mut Ejection::new(now), &nine, now), Some((19, EjectionReason::SuccessRate)));
        assert_eq!(end_all(&mut Ejection::new(now), &ten, now), None);
        assert_eq!(end_all(&mut Ejection::new(now), &[Limited; 30], now), Some((19, EjectionReason::SuccessRate)));
        // The same tries in windows that are apart.
        let mut ejection = Ejection::new(now);
        assert_eq!(end_all(&mut ejection, nine.get(..19).unwrap(), now), None);
        assert_eq!(ejection.end(Failure, false, now + WINDOW * 2), None);
        assert_eq!(ejection.end(Failure, false, now + WINDOW * 2), None);
    }

    #[test]
    fn one_probe_at_a_time_with_periods_that_double_until_one_succeeds() {
        let mut now = Instant::now();
        let mut ejection = Ejection::new(now);
        end_all(&mut ejection, &[Evidence::Failure; 5], now);
        for seconds in [1, 2, 4, 8, 10, 10] {
            let period = Duration::from_secs(seconds);
            assert_eq!(ejection.availability(now + period - Duration::from_nanos(1)), Availability::Ejected);
            now += period;
            assert_eq!(ejection.availability(now), Availability::ProbeDue);
            assert!(ejection.begin(now));
            assert_eq!(ejection.availability(now), Availability::Ejected, "a second probe");
            assert!(!ejection.begin(now));
            // An aborted probe can be repeated at once.
            assert_eq!(ejection.end(Evidence::None, true, now), None);
            assert!(ejection.begin(now));
            assert_eq!(ejection.end(Evidence::Limited, true, now), Some(EjectionReason::Probe));
        }
        now += Duration::from_secs(10);
        assert!(ejection.begin(now));
        assert_eq!(ejection.end(Evidence::Success, true, now), None);
        assert_eq!(ejection.availability(now), Availability::Available);
        // The count and the periods start again.
        assert_eq!(end_all(&mut ejection, &[Evidence::Failure; 5], now), Some((4, EjectionReason::Consecutive)));
        assert_eq!(ejection.availability(now + EJECTION_MIN), Availability::ProbeDue);
    }
}

//! One serving pod: its connection, its requests in flight and its health.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    balance::Candidate,
    connection::Connection,
    ejection::{Availability, Ejection, EjectionReason},
    latency::Latency,
    outcome::TryOutcome,
    transport::Transport,
};

/// A serving pod.
#[derive(Debug)]
pub struct Endpoint {
    /// The connection to the pod.
    pub connection: Connection,
    in_flight: AtomicU32,
    health: Mutex<Health>,
}

#[derive(Debug)]
struct Health {
    latency: Latency,
    ejection: Ejection,
}

impl Endpoint {
    /// A pod without requests, with a first estimate of its latency.
    pub fn new(address: SocketAddr, transport: Transport, latency: Duration, now: Instant) -> Self {
        Self {
            connection: Connection::new(address, transport),
            in_flight: AtomicU32::new(0),
            health: Mutex::new(Health { latency: Latency::seeded(latency, now), ejection: Ejection::new(now) }),
        }
    }

    /// Estimated latency in seconds.
    pub fn latency(&self, now: Instant) -> f64 {
        self.health().latency.seconds(now)
    }

    /// Whether the pod is ejected; one that is due for a probe is.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.health().ejection.availability(now) != Availability::Available
    }

    /// What the choice of a pod depends on.
    pub fn candidate(&self, was_tried: bool, now: Instant) -> Candidate {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let health = self.health();
        Candidate {
            latency: health.latency.seconds(now),
            in_flight,
            availability: health.ejection.availability(now),
            was_tried,
        }
    }

    /// Begins a try; `None` if another request took the only probe.
    pub fn begin(self: &Arc<Self>, now: Instant) -> Option<Try> {
        let mut health = self.health();
        if health.ejection.availability(now) == Availability::Ejected {
            return None;
        }
        let is_probe = health.ejection.begin(now);
        drop(health);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Try { endpoint: Arc::clone(self), begin: now, is_probe, is_ended: false })
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is sent to a pod. Dropping it records that the client went away.
#[derive(Debug)]
pub struct Try {
    endpoint: Arc<Endpoint>,
    begin: Instant,
    is_probe: bool,
    is_ended: bool,
}

impl Try {
    /// Records how the try, which had the time `given`, ended; returns why the pod was ejected, if
    /// it was.
    pub fn end(
        mut self,
        outcome: TryOutcome,
        given: Duration,
        retry_after: Option<Duration>,
    ) -> Option<EjectionReason> {
        self.record(outcome, given, retry_after)
    }

    fn record(
        &mut self,
        outcome: TryOutcome,
        given: Duration,
        retry_after: Option<Duration>,
    ) -> Option<EjectionReason> {
        self.is_ended = true;
        let now = Instant::now();
        let took = now.saturating_duration_since(self.begin);
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut health = self.endpoint.health();
        let was_slower = took.as_secs_f64() > health.latency.seconds(now);
        // An aborted try shows only that the latency is not below the time that it took.
        if outcome != TryOutcome::Cancelled || was_slower {
            health.latency.observe(outcome.latency(took, retry_after), now);
        }
        health.ejection.end(outcome.evidence(given), self.is_probe, now)
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        if !self.is_ended {
            self.record(TryOutcome::Cancelled, Duration::ZERO, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CONSECUTIVE_FAILURES_MAX;

    const SECOND: Duration = Duration::from_secs(1);

    fn endpoint() -> Arc<Endpoint> {
        Arc::new(Endpoint::new(
            ([127, 0, 0, 1], 1).into(),
            Transport::Plaintext,
            Duration::from_millis(1),
            Instant::now(),
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_counted_and_end_also_when_the_client_goes_away() {
        let endpoint = endpoint();
        let in_flight = || endpoint.candidate(false, Instant::now()).in_flight;
        let (first, second) = (endpoint.begin(Instant::now()).unwrap(), endpoint.begin(Instant::now()).unwrap());
        assert_eq!(in_flight(), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(first);
        assert_eq!(in_flight(), 1);
        assert!((endpoint.latency(Instant::now()) - 2.0).abs() < 1e-9, "an aborted request took two seconds");
        second.end(TryOutcome::Answered, SECOND, None);
        assert_eq!(in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_probe_of_an_ejected_pod_is_given_once_and_again_when_it_is_aborted() {
        let endpoint = endpoint();
        for _ in 0..CONSECUTIVE_FAILURES_MAX {
            endpoint.begin(Instant::now()).unwrap().end(TryOutcome::ConnectFailed, SECOND, None);
        }
        assert!(endpoint.begin(Instant::now()).is_none() && endpoint.is_ejected(Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        let probe = endpoint.begin(Instant::now()).unwrap();
        assert!(endpoint.begin(Instant::now()).is_none());
        drop(probe);
        endpoint.begin(Instant::now()).unwrap().end(TryOutcome::Answered, SECOND, None);
        assert!(!endpoint.is_ejected(Instant::now()));
    }
}

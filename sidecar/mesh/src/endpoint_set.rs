//! The serving pods that are known, which a lookup replaces as a whole. A pod that stays keeps its
//! connection and its health.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::{
    endpoint::Endpoint,
    limits::{ENDPOINTS_MAX, INITIAL_LATENCY},
    transport::Transport,
};

/// The serving pods.
#[derive(Debug, Default)]
pub struct EndpointSet {
    transport: Transport,
    current: ArcSwap<Vec<Arc<Endpoint>>>,
}

/// Number of pods by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Pods that get requests.
    pub available: usize,
    /// Pods that get only probes.
    pub ejected: usize,
}

impl EndpointSet {
    /// No pods yet; connections to those that are found are protected so.
    pub fn new(transport: Transport) -> Self {
        Self { transport, current: ArcSwap::default() }
    }

    /// Protection of the connections.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The current pods.
    pub fn current(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.current.load_full()
    }

    /// Replaces the pods. A new one begins with the median latency of those that stay: with a low
    /// one it would get all requests at once, with a high one none.
    pub fn update(&self, addresses: &BTreeSet<SocketAddr>, now: Instant) {
        let current = self.current();
        let known = |address: &SocketAddr| current.iter().find(|endpoint| endpoint.connection.address() == *address);
        let mut latencies: Vec<f64> =
            addresses.iter().filter_map(known).map(|endpoint| endpoint.latency(now)).collect();
        latencies.sort_by(f64::total_cmp);
        let median = latencies.get(latencies.len() / 2).map_or(INITIAL_LATENCY, |s| Duration::from_secs_f64(*s));
        let new = |address: &SocketAddr| Arc::new(Endpoint::new(*address, self.transport.clone(), median, now));
        let endpoints =
            addresses.iter().take(ENDPOINTS_MAX).map(|address| known(address).cloned().unwrap_or_else(|| new(address)));
        self.current.store(Arc::new(endpoints.collect()));
    }

    /// Number of pods by state.
    pub fn count(&self, now: Instant) -> Endpoints {
        let current = self.current();
        let ejected = current.iter().filter(|endpoint| endpoint.is_ejected(now)).count();
        Endpoints { available: current.len() - ejected, ejected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::TryOutcome;

    fn addresses(ports: &[u16]) -> BTreeSet<SocketAddr> {
        ports.iter().map(|port| ([10, 0, 0, 1], *port).into()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn pods_keep_their_state_and_new_ones_begin_with_the_median() {
        let set = EndpointSet::default();
        set.update(&addresses(&[1, 2, 3]), Instant::now());
        for (endpoint, milliseconds) in set.current().iter().zip([40, 70, 90]) {
            let attempt = endpoint.begin(Instant::now()).unwrap();
            tokio::time::advance(Duration::from_millis(milliseconds)).await;
            attempt.end(TryOutcome::Answered, Duration::from_secs(1), None);
        }
        let before = set.current();
        let now = Instant::now();
        set.update(&addresses(&[1, 2, 3, 4]), now);
        let after = set.current();
        assert!(before.iter().zip(after.iter()).all(|(before, after)| Arc::ptr_eq(before, after)));
        let latency = |index: usize| after.get(index).unwrap().latency(now);
        assert!(latency(0) < latency(1) && latency(1) < latency(2));
        assert!((latency(3) - latency(1)).abs() < 1e-8, "the median of the three others");
        set.update(&addresses(&[2]), now);
        assert_eq!(set.count(now), Endpoints { available: 1, ejected: 0 });
        let many: BTreeSet<SocketAddr> = (1..=1000).map(|port| ([10, 0, 0, 1], port).into()).collect();
        set.update(&many, now);
        assert_eq!(set.current().len(), ENDPOINTS_MAX);
    }
}

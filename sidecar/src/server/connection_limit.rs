//! Limit of open connections. At the limit, a new connection evicts the one that has waited longest
//! for its client, so that idle or slow connections cannot block active ones.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::phase::Phase;

/// Limits the open connections of one listener.
#[derive(Debug)]
pub struct ConnectionLimiter {
    connections_max: usize,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    next_id: u64,
    open: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    phase: Arc<Phase>,
    eviction: Arc<Notify>,
}

/// Slot of an open connection; dropping it releases the slot.
#[derive(Debug)]
pub struct ConnectionSlot {
    limiter: Arc<ConnectionLimiter>,
    id: u64,
    /// Phase of the connection.
    pub phase: Arc<Phase>,
    eviction: Arc<Notify>,
}

impl ConnectionLimiter {
    /// A limiter for at most `connections_max` connections.
    pub fn new(connections_max: usize) -> Self {
        Self { connections_max, connections: Mutex::default() }
    }

    /// Acquires a slot; at the limit, evicts the connection that has waited longest for its client.
    /// `None` if requests of all connections are being handled.
    pub fn acquire(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut connections = self.lock();
        if connections.open.len() >= self.connections_max {
            let waiting =
                connections.open.iter().filter_map(|(id, connection)| Some((connection.phase.waiting()?, *id)));
            let (_, id) = waiting.min()?;
            if let Some(connection) = connections.open.remove(&id) {
                connection.eviction.notify_one();
            }
        }
        let id = connections.next_id;
        connections.next_id += 1;
        let (phase, eviction) = (Arc::new(Phase::new()), Arc::new(Notify::new()));
        connections.open.insert(id, Connection { phase: Arc::clone(&phase), eviction: Arc::clone(&eviction) });
        Some(ConnectionSlot { limiter: Arc::clone(self), id, phase, eviction })
    }

    /// Evicts all connections.
    pub fn close_all(&self) {
        for (_, connection) in self.lock().open.drain() {
            connection.eviction.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Completes when the connection is evicted.
    pub async fn evicted(&self) {
        self.eviction.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limiter.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_connection_is_evicted_and_active_ones_are_kept() {
        let limiter = Arc::new(ConnectionLimiter::new(2));
        let first = limiter.acquire().unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = limiter.acquire().unwrap();
        let handling = first.phase.start_handling(Some(0));
        let _third = limiter.acquire().unwrap();
        second.evicted().await;
        let _fourth = limiter.acquire().unwrap(); // Evicts the third.
        drop(second); // Evicted already, so this must not release another connection's slot.
        let all: Vec<_> =
            limiter.lock().open.values().map(|connection| connection.phase.start_handling(Some(0))).collect();
        assert_eq!(all.len(), 2);
        assert!(limiter.acquire().is_none());
        drop(handling);
        drop(first);
        assert!(limiter.acquire().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_cut_only_if_no_other_connection_waits() {
        let limiter = Arc::new(ConnectionLimiter::new(2));
        let slow_reader = limiter.acquire().unwrap();
        drop(slow_reader.phase.start_handling(Some(0)));
        slow_reader.phase.write_blocked(true);
        tokio::time::advance(Duration::from_secs(1)).await;
        let idle = limiter.acquire().unwrap();
        let newer = limiter.acquire().unwrap();
        idle.evicted().await;
        let _handling = newer.phase.start_handling(Some(0));
        // A client that reads is not evicted, and one that does not is.
        slow_reader.phase.write_blocked(false);
        assert!(limiter.acquire().is_none());
        slow_reader.phase.write_blocked(true);
        assert!(limiter.acquire().is_some());
        slow_reader.evicted().await;
    }
}

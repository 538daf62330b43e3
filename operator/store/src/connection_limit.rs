//! Limit of open connections. At the limit, a new connection evicts the one that has waited longest
//! for a request, so that idle or slow connections cannot block active ones.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

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
    /// Start of the wait for a whole request head; `None` while a request is handled.
    waiting_since: Option<Instant>,
    eviction: Arc<Notify>,
}

/// Slot of an open connection; dropping it releases the slot.
#[derive(Debug)]
pub struct ConnectionSlot {
    limiter: Arc<ConnectionLimiter>,
    id: u64,
    eviction: Arc<Notify>,
}

/// Guard of a request that is handled. Its connection is not evicted.
#[derive(Debug)]
pub struct Handling {
    limiter: Arc<ConnectionLimiter>,
    id: u64,
}

impl ConnectionLimiter {
    /// A limiter for at most `connections_max` connections.
    pub fn new(connections_max: usize) -> Self {
        Self { connections_max, connections: Mutex::default() }
    }

    /// Acquires a slot; at the limit, evicts the connection that has waited longest for a request.
    /// `None` if requests of all connections are handled.
    pub fn acquire(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut connections = self.lock();
        if connections.open.len() >= self.connections_max {
            let waiting = connections.open.iter().filter_map(|(id, connection)| Some((connection.waiting_since?, *id)));
            let (_, longest) = waiting.min()?;
            if let Some(connection) = connections.open.remove(&longest) {
                connection.eviction.notify_one();
            }
        }
        let id = connections.next_id;
        connections.next_id += 1;
        let eviction = Arc::new(Notify::new());
        let connection = Connection { waiting_since: Some(Instant::now()), eviction: Arc::clone(&eviction) };
        connections.open.insert(id, connection);
        Some(ConnectionSlot { limiter: Arc::clone(self), id, eviction })
    }

    fn set_waiting_since(&self, id: u64, waiting_since: Option<Instant>) {
        if let Some(connection) = self.lock().open.get_mut(&id) {
            connection.waiting_since = waiting_since;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Marks a request of this connection as handled until the guard is dropped.
    pub fn start_handling(&self) -> Handling {
        self.limiter.set_waiting_since(self.id, None);
        Handling { limiter: Arc::clone(&self.limiter), id: self.id }
    }

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

impl Drop for Handling {
    fn drop(&mut self) {
        self.limiter.set_waiting_since(self.id, Some(Instant::now()));
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
        let handling = first.start_handling();
        let third = limiter.acquire().unwrap();
        second.evicted().await;
        drop(second); // Evicted already, so this must not release another connection's slot.
        let other = third.start_handling();
        assert!(limiter.acquire().is_none());
        drop(handling);
        let _fourth = limiter.acquire().unwrap();
        first.evicted().await;
        drop(other);
    }
}

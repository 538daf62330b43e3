//! Limit of open connections. At the limit, a new connection evicts the one that has waited longest
//! for its client, so that idle or slow connections cannot block active ones.
//!
//! What looks like a wait for the client may be a wait for this process: a request that has arrived
//! is read when its task runs, and with many requests that takes a while. If such connections were
//! evicted, their clients would connect again and evict others, and nobody would get an answer. So a
//! connection is evicted only if it has waited for longer than tasks do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntCounter;
use tokio::{sync::Notify, time::Instant};

use super::{phase::Phase, task_delay::TaskDelay};
use crate::limits::EVICTED_WAIT_MIN;

/// Limits the open connections of one listener.
#[derive(Debug)]
pub struct ConnectionLimiter {
    connections_max: usize,
    task_delay: Arc<TaskDelay>,
    evicted: IntCounter,
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
    /// A limiter for at most `connections_max` connections, whose tasks share the I/O threads with
    /// those of limiters with the same delay. `evicted` counts what new connections evict.
    pub fn new(connections_max: usize, task_delay: Arc<TaskDelay>, evicted: IntCounter) -> Self {
        Self { connections_max, task_delay, evicted, connections: Mutex::default() }
    }

    /// Acquires a slot for a new connection; at the limit, evicts the connection that has waited
    /// longest for its client. `None` if requests of all connections are being handled, or have
    /// arrived and were not read. Must be called in a runtime, in which the tasks of the connections
    /// run.
    pub fn acquire(self: &Arc<Self>) -> Option<ConnectionSlot> {
        self.acquire_for(Arc::new(Phase::new()))
    }

    /// The same for a connection with this phase, which may have a slot of another limiter, too.
    pub fn acquire_for(self: &Arc<Self>, phase: Arc<Phase>) -> Option<ConnectionSlot> {
        self.task_delay.measure();
        let (mut connections, now) = (self.lock(), Instant::now());
        if connections.open.len() >= self.connections_max {
            // Tasks may wait for longer now than when the delay was measured.
            let wait_min = EVICTED_WAIT_MIN.saturating_add(self.task_delay.at(now).saturating_mul(2));
            let waits = connections.open.iter().filter_map(|(id, connection)| Some((connection.phase.waiting()?, *id)));
            let (_, id) = waits.filter(|(wait, _)| wait.is_at_least(wait_min, now)).min()?;
            if let Some(connection) = connections.open.remove(&id) {
                connection.eviction.notify_one();
                self.evicted.inc();
            }
        }
        let id = connections.next_id;
        connections.next_id += 1;
        let eviction = Arc::new(Notify::new());
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
    /// To be called when the task of an accepted connection runs for the first time.
    pub fn start(&self) {
        self.phase.start();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter(connections_max: usize) -> Arc<ConnectionLimiter> {
        let evicted = IntCounter::new("evicted", "For the test.").unwrap();
        Arc::new(ConnectionLimiter::new(connections_max, Arc::default(), evicted))
    }

    /// A time in which tasks run at once: that of a measurement does not wait.
    async fn pass(time: Duration) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(time).await;
    }

    /// A connection whose task runs at once.
    fn started(limiter: &Arc<ConnectionLimiter>) -> Option<ConnectionSlot> {
        let slot = limiter.acquire()?;
        slot.start();
        Some(slot)
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_connection_is_evicted_and_active_ones_are_kept() {
        let limiter = limiter(2);
        let first = started(&limiter).unwrap();
        pass(Duration::from_secs(1)).await;
        let second = started(&limiter).unwrap();
        pass(Duration::from_secs(1)).await;
        let handling = first.phase.start_handling(Some(0));
        let _third = started(&limiter).unwrap();
        second.evicted().await;
        pass(Duration::from_secs(1)).await;
        let _fourth = started(&limiter).unwrap(); // Evicts the third.
        assert_eq!(limiter.evicted.get(), 2);
        drop(second); // Evicted already, so this must not release another connection's slot.
        pass(Duration::from_secs(1)).await;
        let all: Vec<_> =
            limiter.lock().open.values().map(|connection| connection.phase.start_handling(Some(0))).collect();
        assert_eq!(all.len(), 2);
        assert!(limiter.acquire().is_none());
        drop(handling);
        drop(first);
        assert!(limiter.acquire().is_some());
        assert_eq!(limiter.evicted.get(), 2, "a refused connection evicts none, and a free slot needs none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_cut_only_if_no_other_connection_waits() {
        let limiter = limiter(2);
        let slow_reader = started(&limiter).unwrap();
        drop(slow_reader.phase.start_handling(Some(0)));
        slow_reader.phase.write_blocked(true);
        pass(Duration::from_secs(1)).await;
        let idle = started(&limiter).unwrap();
        pass(Duration::from_secs(1)).await;
        let newer = started(&limiter).unwrap();
        idle.evicted().await;
        let _handling = newer.phase.start_handling(Some(0));
        // A client that reads is not evicted, and one that does not is.
        slow_reader.phase.write_blocked(false);
        assert!(limiter.acquire().is_none());
        slow_reader.phase.write_blocked(true);
        pass(Duration::from_secs(1)).await;
        assert!(limiter.acquire().is_some());
        slow_reader.evicted().await;
    }

    #[tokio::test(start_paused = true)]
    async fn connections_whose_requests_may_be_unread_are_not_evicted() {
        let limiter = limiter(1);
        let first = limiter.acquire().unwrap();
        pass(Duration::from_secs(5)).await;
        assert!(limiter.acquire().is_none(), "its task has not run");
        first.start();
        // A measurement has begun, and no task has run for 5 s since then: the next request may have
        // arrived as long ago.
        pass(Duration::ZERO).await;
        limiter.task_delay.measure();
        drop(first.phase.start_handling(Some(0)));
        first.phase.written();
        tokio::time::advance(Duration::from_secs(5)).await;
        pass(Duration::from_secs(4)).await;
        assert_eq!(limiter.task_delay.at(Instant::now()), Duration::from_secs(5));
        assert!(limiter.acquire().is_none());
        // Tasks run at once again, which the attempt has measured.
        pass(Duration::ZERO).await;
        let second = started(&limiter).unwrap();
        first.evicted().await;
        pass(EVICTED_WAIT_MIN).await;
        assert!(limiter.acquire().is_some());
        second.evicted().await;
    }
}

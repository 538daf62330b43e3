//! Metrics of connections that a listener refused because of its limits.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counter of all listeners of a process.
#[derive(Debug)]
pub struct RefusedConnections(IntCounterVec);

/// Counters of one listener.
#[derive(Clone, Debug)]
pub struct ListenerCounters {
    /// Connections beyond the limit of connections.
    pub connections: IntCounter,
    /// Connections beyond the limit of HTTP/2 connections.
    pub http2_connections: IntCounter,
}

impl RefusedConnections {
    /// Creates and registers the counter.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "recommender_connections_refused_total",
            "Connections beyond the limits of a listener, by listener and limit.",
        );
        let counter = IntCounterVec::new(options, &["listener", "limit"])?;
        registry.register(Box::new(counter.clone()))?;
        Ok(Self(counter))
    }

    /// Counters of a listener, which begin at 0, so that their first increase is seen.
    pub fn listener(&self, name: &'static str) -> ListenerCounters {
        ListenerCounters {
            connections: self.0.with_label_values(&[name, "connections"]),
            http2_connections: self.0.with_label_values(&[name, "http2-connections"]),
        }
    }
}

//! Metrics of connections that a listener refused or evicted because of its limits.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counters of all listeners of a process.
#[derive(Debug)]
pub struct ConnectionMetrics {
    refused: IntCounterVec,
    evicted: IntCounterVec,
}

/// Counters of one listener.
#[derive(Clone, Debug)]
pub struct ListenerCounters {
    /// Connections beyond the limit of connections.
    pub connections: IntCounter,
    /// Connections beyond the limit of HTTP/2 connections.
    pub http2_connections: IntCounter,
    /// Requests beyond the limit of active HTTP/2 streams of all connections.
    pub http2_streams: IntCounter,
    /// Open connections that waited for their client, and made room for others.
    pub evicted: IntCounter,
}

impl ConnectionMetrics {
    /// Creates and registers the counters.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = Opts::new(
            "recommender_connections_refused_total",
            "Connections, and requests over HTTP/2, beyond the limits of a listener, by listener and limit.",
        );
        let evicted = Opts::new(
            "recommender_connections_evicted_total",
            "Connections that waited for their clients and were closed for new ones, at the limit of a listener.",
        );
        let metrics = Self {
            refused: IntCounterVec::new(refused, &["listener", "limit"])?,
            evicted: IntCounterVec::new(evicted, &["listener"])?,
        };
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.evicted.clone()))?;
        Ok(metrics)
    }

    /// Counters of a listener, which begin at 0, so that their first increase is seen.
    pub fn listener(&self, name: &'static str) -> ListenerCounters {
        ListenerCounters {
            connections: self.refused.with_label_values(&[name, "connections"]),
            http2_connections: self.refused.with_label_values(&[name, "http2-connections"]),
            http2_streams: self.refused.with_label_values(&[name, "http2-streams"]),
            evicted: self.evicted.with_label_values(&[name]),
        }
    }
}

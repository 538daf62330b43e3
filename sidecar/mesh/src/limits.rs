//! All limits of the mesh, with their units.

use std::time::Duration;

/// Maximum number of tries of a request: the first, and one for each of two pods that fail at the
/// same time.
pub const TRIES_MAX: usize = 3;
/// Retries that are always allowed, for each second: an app with few requests can retry them.
pub const RETRIES_PER_SECOND: u32 = 10;
/// Retries beyond these, as a fraction of the requests: retries add at most this load to pods that
/// fail under load.
pub const RETRY_FRACTION: f32 = 0.2;
/// Time for which a request adds to the retry budget.
pub const RETRY_WINDOW: Duration = Duration::from_secs(10);

/// Time constant of the decay of a latency estimate. A pod that answered within 1 s once, where
/// others take 1 ms, is tried again after 20 s.
pub const LATENCY_DECAY: Duration = Duration::from_secs(3);
/// Latency that a failed try counts as, unless the pod asks for a longer pause. A pod that fails
/// fast must not look like a fast pod.
pub const FAILURE_PENALTY: Duration = Duration::from_secs(1);
/// Maximum latency that a try counts as, whatever `retry-after` states.
pub const PENALTY_MAX: Duration = Duration::from_secs(30);
/// Latency estimate of the first pods, of which none has answered yet.
pub const INITIAL_LATENCY: Duration = Duration::from_millis(20);
/// Lowest latency estimate. Below it latencies are equal, and the number of requests in flight
/// decides alone.
pub const LATENCY_MIN: Duration = Duration::from_micros(100);

/// Number of consecutive failures that ejects a pod.
pub const CONSECUTIVE_FAILURES_MAX: u32 = 5;
/// Fraction of successful tries below which a pod is ejected...
pub const SUCCESS_RATE_MIN: f64 = 0.5;
/// ...if the window has at least this number of tries.
pub const WINDOW_TRIES_MIN: u32 = 20;
/// Length of this window; tries are counted for one to two of it.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Time without requests after the first ejection, doubled after each failed probe...
pub const EJECTION_MIN: Duration = Duration::from_secs(1);
/// ...up to this. A pod that never recovers costs one retry in this time.
pub const EJECTION_MAX: Duration = Duration::from_secs(10);
/// Time of a try from which on a timeout, or a refusal by the pod, is a failure of the pod. With a
/// shorter time it is evidence of an impatient client only.
pub const TIMEOUT_EVIDENCE_MIN: Duration = Duration::from_millis(100);

/// Maximum number of requests in flight to a pod: the number of streams that a connection of a
/// serving pod accepts.
pub const IN_FLIGHT_PER_ENDPOINT_MAX: u32 = 100;
/// Maximum number of pods that are used; the rest of the addresses is ignored.
pub const ENDPOINTS_MAX: usize = 256;
/// Timeout of a connection attempt.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval of PINGs while requests are in flight...
pub const PING_INTERVAL: Duration = Duration::from_secs(2);
/// ...and the time after which a connection without a response to one is closed. A frozen process
/// is found by it: its kernel still accepts data.
pub const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer that a pod may send before they are read, for each request.
pub const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// The same for all requests of a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// Maximum size of the headers of an answer, in bytes.
pub const ANSWER_HEADER_BYTES_MAX: u32 = 16 << 10;

/// Maximum size of an answer, in bytes: the maximum of a serving pod.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Part of an answer that does not count against [`ANSWERS_BYTES_MAX`], in bytes.
pub const ANSWER_SHARE_BYTES: usize = 16 << 10;
/// Maximum total size of answers that are received or sent, in bytes; a request beyond it fails.
pub const ANSWERS_BYTES_MAX: usize = 16 << 20;

/// Interval of lookups of the pods' addresses: the lowest time to live that cluster DNS servers
/// use.
pub const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum interval between two lookups, of which failed connections trigger additional ones.
pub const LOOKUP_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Maximum time that a client may give a request, in milliseconds; a longer one is shortened to it.
pub const TIMEOUT_MILLISECONDS_MAX: u64 = 60_000;

/// Tolerance for clocks that differ, for the periods of certificates.
pub const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// Interval at which the identity files are read again. The kubelet changes them hours before the
/// old content ends, and itself needs up to a minute to write them.
pub const IDENTITY_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum size of the file with the private key and the certificates, in bytes.
pub const CREDENTIALS_BYTES_MAX: u64 = 128 << 10;
/// Maximum size of the file with the trust anchors, in bytes: the maximum of an object in
/// Kubernetes.
pub const ANCHORS_BYTES_MAX: u64 = 1 << 20;
/// Maximum number of trust anchors: a rotation needs two. Each handshake may check all of them.
pub const ANCHORS_MAX: usize = 32;
/// Maximum number of certificates of a chain, the leaf included: with a cross-signed anchor there
/// are two.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Maximum age of a connection as a part of the life of its certificates: one quarter.
pub const CONNECTION_AGE_DIVISOR: u32 = 4;
/// Maximum part by which this age is shortened at random.
pub const CONNECTION_AGE_JITTER: f64 = 0.1;

/// Maximum number of log lines about refused connections...
pub const LOG_LINES_MAX: u32 = 20;
/// ...in this time.
pub const LOG_WINDOW: Duration = Duration::from_secs(10);
/// Maximum number of connections on which a try is begun: a request that the pod did not process,
/// because its connection was about to end, is sent on a new one.
pub const CONNECTIONS_PER_TRY_MAX: usize = 3;

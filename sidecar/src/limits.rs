//! Every bound of the serving process, with its unit.

use std::time::Duration;

/// Longest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest user or item id, in bytes; the trainer keeps no longer one.
pub const ID_BYTES_MAX: usize = 1024;
/// Items of an answer when the request does not say.
pub const ITEMS_PER_ANSWER_DEFAULT: usize = 10;
/// Items of all answers of a batch together.
pub const ITEMS_PER_BATCH_MAX: usize = 50_000;
/// Items of an answer that says where their scores come from: each costs a solve, and five times the bytes.
pub const EXPLAINED_ITEMS_MAX: usize = 100;
/// Items of the user that an explanation names, at most; the others are its rest.
pub const CONTRIBUTIONS_MAX: usize = 5;
/// Longest answer, in bytes; titles make answers long.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Bodies being read and answers being sent, in bytes, of all connections together; more are refused with 503.
pub const TRANSFER_BYTES_MAX: usize = 24 << 20;
/// Longest `x-request-id` that is taken over, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Connections at once on the application port. When all are taken, the one that has waited longest for a request leaves.
pub const CONNECTIONS_MAX: usize = 1024;
/// The same for the admin port.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Longest request head, in bytes; longer ones are answered 431.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Most headers of a request, which is what hyper takes; more are answered 431.
pub const HEADERS_MAX: usize = 100;
/// Buffer of a connection for reading and for writing, in bytes.
pub const CONNECTION_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Longest time from a request head's first byte (of a new connection: from its start) to its last.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time between two requests of a connection; above the idle time of common proxies, so that they close first.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest time for a request's body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time from an answer's first byte that has to wait to its last.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers waiting to be computed, whatever the delay; more are refused with 503.
pub const ANSWERS_QUEUED_MAX: usize = 512;
/// Threads that compute answers, at most; there are as many as the container may use processors.
pub const COMPUTE_THREADS_MAX: usize = 64;
/// Batches at once for each thread that computes.
pub const BATCHES_PER_THREAD_MAX: usize = 4;
/// A batch lets others have their turn after this time.
pub const BATCH_SLICE: Duration = Duration::from_millis(1);
/// Load (what arrives against what the threads can do) up to which a burst may queue.
pub const LOAD_CALM: f64 = 0.9;
/// Load from which nothing queues but what keeps the threads busy.
pub const LOAD_EXCESSIVE: f64 = 1.1;
/// Time over which arrivals are averaged.
pub const LOAD_WINDOW: Duration = Duration::from_millis(300);
/// Time over which the load is smoothed...
pub const LOAD_SMOOTHING: Duration = Duration::from_secs(1);
/// ...and the most that counts at a time, so that one second of madness is forgotten in another.
pub const LOAD_COUNTED_MAX: f64 = 3.0;
/// Depth of a burst that may queue, in computations of mean length...
pub const BURST_COMPUTATIONS: f64 = 10.0;
/// ...or in time, whichever is more.
pub const BURST_DELAY_MIN: Duration = Duration::from_millis(10);
/// Wait that is tolerated under excessive load, if a computation takes less.
pub const EXCESS_DELAY_MIN: Duration = Duration::from_millis(1);
/// Longest wait for a thread, whatever was expected.
pub const QUEUE_DELAY_MAX: Duration = Duration::from_secs(2);
/// Longest time from a request's body to its answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a client is told to wait when it is refused, in seconds.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// How long requests in flight may take after SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the listener stays open after SIGTERM, until the endpoints have forgotten the pod.
pub const DRAIN_GRACE: Duration = Duration::from_secs(3);
/// How long a model that is being opened may hold up the end of the process.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often the serving config is looked at, in milliseconds, when the command line does not say.
pub const CONFIG_POLL_MS_DEFAULT: u64 = 500;
/// Longest serving config, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// First and longest pause between two tries to load a revision.
pub const LOAD_RETRY_MIN: Duration = Duration::from_secs(1);
/// See [`LOAD_RETRY_MIN`].
pub const LOAD_RETRY_MAX: Duration = Duration::from_secs(30);
/// Memory that stays free beside a snapshot, in bytes: for [`TRANSFER_BYTES_MAX`] and the rest of the process.
pub const HEADROOM_RESERVE_BYTES: u64 = 32 << 20;
/// Rows that `suggest` looks at when the command line does not say.
pub const ROWS_SUGGESTED_BY_MAX: u64 = 10_000_000;
/// Answers that warm a model up before it serves.
pub const WARM_UP_ANSWERS: u32 = 8;

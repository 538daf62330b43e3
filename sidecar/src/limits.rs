//! Every bound of the serving process, with its unit.

use std::time::Duration;

/// Longest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest user or item id, in bytes; the trainer keeps no longer one.
pub const ID_BYTES_MAX: usize = 1024;
/// Items of an answer when the request does not say.
pub const ITEMS_PER_ANSWER_DEFAULT: usize = 10;
/// Connections at once on one listener; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1024;
/// Longest time for a request's head, and longest idle time between two requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a request's body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers being computed or waiting; more are refused with 503.
pub const ANSWERS_QUEUED_MAX: usize = 512;
/// Answers being computed at once.
pub const ANSWERS_AT_ONCE_MAX: usize = 4;
/// Longest time from a request's body to its answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a client is told to wait when it is refused, in seconds.
pub const RETRY_AFTER_SECONDS: u32 = 1;
/// How long requests in flight may take after SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the listener stays open after SIGTERM, until the endpoints have forgotten the pod.
pub const DRAIN_GRACE: Duration = Duration::from_secs(3);
/// How often the serving config is looked at.
pub const CONFIG_POLL: Duration = Duration::from_millis(500);
/// Longest serving config, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// First and longest pause between two tries to load a revision.
pub const LOAD_RETRY_MIN: Duration = Duration::from_secs(1);
/// See [`LOAD_RETRY_MIN`].
pub const LOAD_RETRY_MAX: Duration = Duration::from_secs(30);
/// Memory that stays free beside a snapshot, in bytes.
pub const HEADROOM_RESERVE_BYTES: u64 = 16 << 20;
/// Answers that warm a model up before it serves.
pub const WARM_UP_ANSWERS: u32 = 8;

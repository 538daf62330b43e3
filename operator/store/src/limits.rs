//! Every bound of the store, with its unit.

use std::time::Duration;

/// Largest object.
pub const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Largest part number of an upload (S3's own).
pub const PARTS_MAX: i32 = 10_000;
/// Uploads in progress at a time in one Recommender; the oldest gives way to one more.
pub const UPLOADS_PER_RECOMMENDER_MAX: usize = 16;
/// An upload that nobody completed is removed after this time.
pub const UPLOAD_AGE_MAX: Duration = Duration::from_hours(24);
/// How often that is looked for.
pub const UPLOAD_SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Longest key (S3's own).
pub const KEY_BYTES_MAX: usize = 1024;
/// Most keys in one page of a listing (S3's own).
pub const LIST_KEYS_MAX: usize = 1000;
/// Most keys in one bulk delete (S3's own).
pub const DELETE_KEYS_MAX: usize = 1000;
/// Largest XML body; a bulk delete or a completed upload at their limits fit well.
pub const XML_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Open connections; more are not accepted until one closes.
pub const CONNECTIONS_MAX: usize = 512;
/// Requests at work at a time; more are told to slow down.
pub const REQUESTS_MAX: usize = 64;
/// Longest wait for a request's head, and idle time of a kept connection.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence inside a request's body.
pub const BODY_SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest time that a client may take no bytes of an answer.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// How long requests at work may go on after SIGTERM (below Kubernetes' default grace of 30 s).
pub const DRAIN_MAX: Duration = Duration::from_secs(20);
/// Completing an upload answers at once for this long, then with white space until it is done, so that no client
/// gives up while a large file is put together.
pub const COMPLETE_QUIET_MAX: Duration = Duration::from_secs(5);
/// How long a start waits for another process to let go of the directory.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);

/// Bytes that are read from or written to disk in one go.
pub const CHUNK_BYTES: usize = 128 * 1024;
/// Directories remembered as durable; forgetting them only costs an fsync.
pub const KNOWN_DIRECTORIES_MAX: usize = 100_000;
/// How often a put makes its directory again when deletes keep removing it.
pub const PUBLISH_TRIES_MAX: usize = 100;
/// Shortest root key.
pub const ROOT_KEY_BYTES_MIN: usize = 32;
/// Longest root key or installation id file.
pub const SETTING_FILE_BYTES_MAX: u64 = 4096;

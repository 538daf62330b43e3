//! All limits of the store, with their units.

use std::time::Duration;

/// Max size of an object.
pub const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Max part number of an upload (the limit of S3).
pub const PARTS_MAX: i32 = 10_000;
/// Max concurrent uploads per Recommender; beginning one more removes the oldest.
pub const UPLOADS_PER_RECOMMENDER_MAX: usize = 16;
/// Age at which an incomplete upload is removed.
pub const UPLOAD_AGE_MAX: Duration = Duration::from_hours(24);
/// Interval between two searches for expired uploads.
pub const UPLOAD_SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Max length of a key (the limit of S3).
pub const KEY_BYTES_MAX: usize = 1024;
/// Max keys on one page of a listing (the limit of S3).
pub const LIST_KEYS_MAX: usize = 1000;
/// Max keys in one bulk delete (the limit of S3).
pub const DELETE_KEYS_MAX: usize = 1000;
/// Max size of an XML body; enough for a bulk delete or a completed upload at their limits.
pub const XML_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Max open connections; further ones are not accepted until one closes.
pub const CONNECTIONS_MAX: usize = 512;
/// Max requests in flight; further ones are rejected with `SlowDown`.
pub const REQUESTS_MAX: usize = 64;
/// Timeout for receiving a request head; also the idle timeout of a keep-alive connection.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Max time without received bytes while a request body is read.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Max time without sent bytes while a response is written.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Max duration of the drain after SIGTERM; below the default grace period of Kubernetes (30 s).
pub const DRAIN_MAX: Duration = Duration::from_secs(20);
/// An upload that completes within this time gets an ordinary response. After it, the response
/// begins with white space that is sent until the upload is complete, so that clients do not time
/// out while the parts of a large file are concatenated.
pub const COMPLETE_KEEPALIVE_DELAY: Duration = Duration::from_secs(5);
/// Max wait at startup for another process to release its lock on the directory.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);

/// Size of one read from or write to disk.
pub const CHUNK_BYTES: usize = 128 * 1024;
/// Max directories recorded as durable. Dropping the record only costs extra fsyncs.
pub const DURABLE_DIRECTORIES_MAX: usize = 100_000;
/// Max attempts of a put to create its directory while concurrent deletes remove it.
pub const PUBLISH_ATTEMPTS_MAX: usize = 100;
/// Min length of the root key.
pub const ROOT_KEY_BYTES_MIN: usize = 32;
/// Max size of the root key file and the installation id file.
pub const SETTING_FILE_BYTES_MAX: u64 = 4096;

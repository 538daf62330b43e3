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
/// Max slashes of a key, for which a put may create and flush a directory each; the keys of a
/// Recommender have up to seven.
pub const KEY_SLASHES_MAX: usize = 16;
/// Max keys on one page of a listing (the limit of S3).
pub const LIST_KEYS_MAX: usize = 1000;
/// Max keys in one bulk delete (the limit of S3).
pub const DELETE_KEYS_MAX: usize = 1000;
/// Max size of an XML body; enough for a bulk delete or a completed upload at their limits.
pub const XML_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Max open connections of the S3 port. At the limit, a new connection evicts the one that has
/// waited longest for a request. It exceeds [`REQUESTS_MAX`], so there is one that waits.
pub const CONNECTIONS_MAX: usize = 512;
/// The same for the port of probes and metrics.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Max size of a request head; object keys and signatures need less.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Max size of a connection's read buffer and write buffer.
pub const CONNECTION_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Max authenticated requests in flight. With their buffers (twice [`CHUNK_BYTES`] and
/// [`CONNECTION_BUFFER_BYTES_MAX`] each), they use a fifth of the store's default memory limit of
/// 512 MiB. Each Recommender and namespace has a share; see `request_slots`.
pub const REQUESTS_MAX: usize = 256;
/// Timeout for receiving a request head; also the idle timeout of a keep-alive connection.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Max time that the store waits for a client's bytes, or for a client to receive bytes.
pub const TRANSFER_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Min rate of a transfer while the store waits for the client; see `pace`. All requests in flight
/// at this rate are 4 MB/s, so slots cannot be occupied for less than that.
pub const TRANSFER_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
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
/// Max attempts to create a directory for a new entry while concurrent deletes remove it.
pub const PUBLISH_ATTEMPTS_MAX: usize = 100;
/// Min length of the root key.
pub const ROOT_KEY_BYTES_MIN: usize = 32;
/// Max size of the root key file and the installation id file.
pub const SETTING_FILE_BYTES_MAX: u64 = 4096;

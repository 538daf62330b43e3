//! Every bound of the client, with its unit.

use std::time::Duration;

/// Longest wait for a connection, name resolution included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest silence of a store that has accepted a request. A part of [`PART_BYTES`] must go through in this time, too.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a failed request is sent again.
pub(crate) const RETRIES_MAX: usize = 4;
/// No request is sent again after this time, so a store that is down shows as an error in seconds.
pub(crate) const RETRY_BUDGET: Duration = Duration::from_secs(8);
/// Wait before the first repetition; doubles, with jitter.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between repetitions.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Idle connections that stay open to one host.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 4;

/// Files up to this size are sent in one request, larger ones in parts of it (S3 wants at least 5 MiB a part).
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts in flight at a time: with the one being read, they bound an upload's memory.
pub(crate) const PARTS_IN_FLIGHT_MAX: usize = 2;
/// Buffer between network and disk while fetching.
pub(crate) const FETCH_BUFFER_BYTES: usize = 1024 * 1024;

/// Longest run result that is read or written.
pub const RUN_RESULT_BYTES_MAX: u64 = 1024 * 1024;
/// Most keys that one listing returns.
pub const LISTED_KEYS_MAX: usize = 10_000;
/// Longest value of a user's Secret: the key of a service account is a document.
pub(crate) const SECRET_VALUE_BYTES_MAX: u64 = 64 * 1024;
/// Longest credential file.
pub(crate) const CREDENTIAL_BYTES_MAX: u64 = 4096;

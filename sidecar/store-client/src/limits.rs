//! All limits of the client, with their units.

use std::time::Duration;

/// Timeout for establishing a connection, including name resolution.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Max time without received bytes. An upload of [`PART_BYTES`] must also finish within this time.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Max retries of a failed request.
pub(crate) const RETRIES_MAX: usize = 4;
/// Time after which a request is not retried, so that an unavailable store causes an error within
/// seconds.
pub(crate) const RETRY_BUDGET: Duration = Duration::from_secs(8);
/// Delay before the first retry; doubles with each retry, with jitter.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Max delay between retries.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Max idle connections per host.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 4;

/// Part size. Smaller files are sent in one request, others in parts of this size (the minimum of
/// S3 is 5 MiB).
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Max parts in flight. Together with the part that is being read, they bound the memory of an
/// upload.
pub(crate) const PARTS_IN_FLIGHT_MAX: usize = 2;
/// Buffer size between network and disk during a fetch.
pub(crate) const FETCH_BUFFER_BYTES: usize = 1024 * 1024;

/// Max size of a run result.
pub const RUN_RESULT_BYTES_MAX: u64 = 1024 * 1024;
/// Max size of a range of a snapshot that is read into memory.
pub const SNAPSHOT_RANGE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Max keys in one listing.
pub const LISTED_KEYS_MAX: usize = 10_000;
/// Max size of a value in a user's Secret; the key of a service account is a JSON document.
pub(crate) const SECRET_VALUE_BYTES_MAX: u64 = 64 * 1024;
/// Max size of a credential file.
pub(crate) const CREDENTIAL_BYTES_MAX: u64 = 4096;
/// Max rounds of a deletion of all objects, each of up to [`LISTED_KEYS_MAX`]. A store that lists
/// objects that were deleted must not keep a deletion busy forever.
pub(crate) const DELETION_ROUNDS_MAX: usize = 10;
/// Max concurrent requests of a deletion of all objects.
pub(crate) const CONCURRENT_DELETIONS_MAX: usize = 8;

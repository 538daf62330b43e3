//! All limits of the sidecar, with their units.

use std::time::Duration;

/// Maximum size of a request body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Maximum length of a user or item id, in characters, as JSON Schema counts. The trainer drops
/// rows with an id of more than as many bytes, so every id of a model can be requested.
pub const ID_CHARS_MAX: usize = 1024;
/// Maximum magnitude of a weight or rating in a request. Single precision keeps nine digits, and
/// a history of such values is far from overflow.
pub const RATING_MAX: f64 = 1e9;
/// Maximum number of digits before and after the decimal point of a rating in a form, so that it is
/// below [`RATING_MAX`].
pub const RATING_DIGITS_MAX: usize = 9;
/// Maximum number of entries of a list that are kept while a body is parsed: the maximum of
/// `spec.serving.limits`.
pub const LIST_ENTRIES_MAX: usize = 10_000;
/// Maximum number of candidates of a request, which are all in its answer.
pub const CANDIDATES_MAX: usize = 1000;
/// Maximum length of a cursor, in characters; those of this release have 46.
pub const CURSOR_CHARS_MAX: usize = 100;
/// Maximum number of items that `GET /items` finds; a person reads them.
pub const FOUND_ITEMS_MAX: usize = 50;
/// Maximum time of `GET /items`; it shares the CPU with answers.
pub const ITEM_SEARCH_TIME_MAX: Duration = Duration::from_millis(100);
/// Maximum number of concurrent searches of items; more get 503.
pub const ITEM_SEARCHES_MAX: usize = 1;
/// Maximum length of a revision in header `if-revision`, in characters: those of a digest.
pub const REVISION_CHARS_MAX: usize = 64;
/// Maximum number of items in all responses of a batch together.
pub const ITEMS_PER_BATCH_MAX: usize = 50_000;
/// Maximum size of a response, in bytes; titles make responses large.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Bodies above this size are parsed one at a time, in bytes.
pub const LARGE_BODY_BYTES: usize = 64 << 10;
/// Part of the body, the waiting question and the response of a request that does not count against
/// [`TRANSFER_BYTES_MAX`], in bytes...
pub const REQUEST_SHARE_BYTES: usize = 4 << 10;
/// ...and maximum number of requests with such a share. All bytes of others count. HTTP/1 connections
/// have one request each, and so always a share; those of HTTP/2 have up to [`HTTP2_STREAMS_MAX`].
pub const REQUEST_SHARES_MAX: usize = 2 * CONNECTIONS_MAX;
/// Maximum total size of bodies and responses in transfer and of waiting questions, in bytes, beyond
/// the shares; requests beyond it get 503.
pub const TRANSFER_BYTES_MAX: usize = 16 << 20;
/// Maximum length of a name or a value in a JSON body, in bytes: each character of an id may take
/// two escapes.
pub const JSON_STRING_BYTES_MAX: usize = 12 * ID_CHARS_MAX;
/// Maximum length of a name or a value of the request that an error repeats, in characters.
pub const QUOTED_CHARS_MAX: usize = 100;
/// Maximum length of what an error states, in bytes of JSON: with the rest of its document it is
/// within [`REQUEST_SHARE_BYTES`].
pub const DETAIL_BYTES_MAX: usize = REQUEST_SHARE_BYTES - 1024;

/// Maximum number of connections on the application port. At the limit, the connection that has
/// waited longest for its client is evicted, and without one the new connection gets 503.
pub const CONNECTIONS_MAX: usize = 1024;
/// The same for the admin port.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Minimum wait of a connection that is evicted, in addition to twice the delay of the I/O threads.
pub const EVICTED_WAIT_MIN: Duration = Duration::from_millis(10);
/// Maximum size of a request head, in bytes; larger ones get 431.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Maximum number of headers of a request, which is hyper's default; more get 431.
pub const HEADERS_MAX: usize = 100;
/// Maximum number of headers that can select a part of a composition, which it sends on to its
/// parts: a request of an app has a few.
pub const SEGMENT_HEADERS_MAX: usize = 16;
/// Maximum size of their names and values together, in bytes.
pub const SEGMENT_HEADERS_BYTES_MAX: usize = 4 << 10;
/// Maximum size of a connection's read buffer and write buffer, in bytes: a request head fits.
pub const CONNECTION_BUFFER_BYTES_MAX: usize = HEADER_BYTES_MAX;
/// Timeout for a request head, from its first byte (for a new connection: from its start) to its
/// last.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle timeout between two requests of a connection. It is longer than that of load balancers, of
/// which common ones keep a connection for 600 s, so that they close first: a server that closes
/// can lose a request that is on its way.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(620);
/// Timeout for a request body, from the head to the last byte...
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// ...extended by one second for each of this number of received bytes. This is the minimum rate of
/// a long body: slower ones get 408.
pub const BODY_BYTES_PER_SECOND_MIN: usize = 16 << 10;
/// Timeout for writing a response, from the first write that blocks to the last byte...
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// ...extended by one second for each of this number of written bytes, so that no response is cut
/// while its client reads it at this rate.
pub const WRITE_BYTES_PER_SECOND_MIN: usize = 16 << 10;
/// Maximum time for which the server discards what a client sends after the last response, so that
/// the client can read it...
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// ...and the maximum number of bytes: the rest of a body that was refused.
pub const LINGER_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Maximum number of connections of a port beyond its limit that the server waits for in this way.
pub const REJECTED_LINGERING_MAX: usize = 64;

/// Interval at which the delay of the I/O threads is measured, which is the wait of requests that
/// were accepted and not yet read.
pub const IO_DELAY_INTERVAL: Duration = Duration::from_millis(10);
/// Number of tasks that measure this delay in turns. A delay of up to this number of intervals is
/// measured with an error of one interval. The default latency budget is not longer than that.
pub const IO_DELAY_PROBES: usize = 10;
/// Maximum expected time of an answer that the I/O thread computes itself. It is near what handing
/// the question to a compute thread and the answer back costs; other connections wait meanwhile.
pub const INLINE_TIME_MAX: Duration = Duration::from_micros(50);
/// Maximum length of the compute queue, whatever the wait; requests beyond it get 503. Each
/// connection has one request in it, except for the slices of batches.
pub const ANSWERS_QUEUED_MAX: usize = 2 * CONNECTIONS_MAX;
/// Minimum interval between two refusals: clients that repeat a refused request at once must not
/// take the CPU time of those that are served.
pub const REFUSAL_INTERVAL: Duration = Duration::from_millis(2);
/// Maximum delay of a refusal...
pub const REFUSAL_DELAY_MAX: Duration = Duration::from_secs(1);
/// ...the divisor of the time for which the client waits, if it states one, so that it can ask another
/// pod...
pub const REFUSAL_DELAY_ONE_IN: u32 = 20;
/// ...and maximum number of refusals that are delayed; further ones are sent at once.
pub const REFUSALS_DELAYED_MAX: usize = CONNECTIONS_MAX / 4;
/// Maximum number of rows that `recommend --all` has in memory: with their ids about 10 MiB, twice
/// for a Parquet file.
pub const LIST_ROWS_PER_CHUNK: usize = 1 << 16;
/// Maximum number of HTTP/2 connections of a listener, each of which carries many requests.
pub const HTTP2_CONNECTIONS_MAX: usize = 256;
/// The part of them for callers with mutual TLS, if the pod has an identity...
pub const MESH_CONNECTIONS_MAX: usize = HTTP2_CONNECTIONS_MAX - HTTP2_PLAINTEXT_CONNECTIONS_MAX;
/// ...and the rest, for clients without TLS: they cannot take the connections of callers.
pub const HTTP2_PLAINTEXT_CONNECTIONS_MAX: usize = 64;
/// Maximum number of callers whose trust anchors are remembered; each is an address and a digest.
pub const CALLERS_MAX: usize = 4096;
/// Interval at which unchanged anchors of a connection are recorded again.
pub const SEEN_ANCHORS_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum time for which requests end on a connection whose age has ended; a client that does not
/// acknowledge the end cannot begin others after it.
pub const AGED_REQUESTS_MAX: Duration = Duration::from_mins(1);
/// Timeout of a TLS handshake. It takes a few milliseconds of CPU time.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent handshakes. At the limit, a new one ends the oldest if that has
/// waited as long as an evicted connection: a client that sends nothing does not stop others.
pub const HANDSHAKES_MAX: usize = 64;
/// Maximum number of concurrent streams of a connection...
pub const HTTP2_STREAMS_MAX: u32 = 100;
/// ...and of all connections of a listener: a stream has memory also while its client sends and reads
/// nothing. Requests beyond it get 503.
pub const HTTP2_ACTIVE_STREAMS_MAX: usize = 2 * CONNECTIONS_MAX;
/// Number of streams that each connection of a listener may have, whatever the others have.
pub const HTTP2_RESERVED_STREAMS: usize = 4;
/// Memory of a stream besides its body, its question and its response, in bytes, as measured.
pub const HTTP2_STREAM_BYTES: usize = 6 << 10;
/// Bytes of bodies that a client may send before the server has read them, for a stream and for a
/// connection: the minimum of the protocol.
pub const HTTP2_WINDOW_BYTES: u32 = 65_535;
/// Maximum size of a frame, in bytes: the minimum of the protocol.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 16_384;
/// Maximum size of the write buffer of a stream, in bytes.
pub const HTTP2_SEND_BYTES_MAX: usize = 64 << 10;
/// Maximum number of streams that a client resets before the server has accepted them, or that the
/// server resets because of errors of the client. Beyond it the connection is closed.
pub const HTTP2_RESETS_MAX: usize = 50;
/// Interval at which the streams of a connection are checked for timeouts.
pub const HTTP2_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Default size of the cache of lists, in mebibytes: the lists of ten items of 37,000 users.
pub const CACHE_MIB_DEFAULT: usize = 8;
/// The same in bytes.
pub const CACHE_BYTES_DEFAULT: usize = CACHE_MIB_DEFAULT << 20;
/// Maximum size of the cache of lists, in mebibytes.
pub const CACHE_MIB_MAX: usize = 4096;
/// Maximum number of compute threads; the default is the number of CPUs that the container may use.
pub const COMPUTE_THREADS_MAX: usize = 64;
/// Maximum number of concurrent batches per compute thread.
pub const BATCHES_PER_THREAD_MAX: usize = 4;
/// Time slice of a batch, after which it goes to the end of the compute queue.
pub const BATCH_SLICE: Duration = Duration::from_millis(1);
/// Maximum wait for a compute thread, whatever wait was expected; also the maximum of the latency
/// budget.
pub const QUEUE_DELAY_MAX: Duration = Duration::from_secs(2);
/// Timeout from the request body to the computed response.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// `retry-after` of refused requests, in seconds.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// Timeout for requests in flight after SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for the first bytes of a connection that was established when the listener closed. A client
/// sends its request at once, but may wait for a CPU.
pub const STOPPED_FIRST_BYTES_TIMEOUT: Duration = Duration::from_millis(250);
/// Connections that the kernel keeps until they are accepted: tokio's backlog of a listener.
pub const BACKLOG_MAX: usize = 1024;
/// Time that the listener stays open after SIGTERM, until the pod is removed from the endpoints
/// everywhere.
pub const DRAIN_GRACE: Duration = Duration::from_secs(3);
/// Maximum time that a model load may delay the exit of the process.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(3);

/// Default time that an app waits for an answer of its sidecar, in milliseconds.
pub const PROXY_TIMEOUT_MS_DEFAULT: u64 = 1000;
/// Part of this time that is left for an answer without serving pods.
pub const PROXY_FALLBACK_TIME: Duration = Duration::from_millis(10);
/// Maximum number of requests that an app's sidecar sends to serving pods at the same time. Others
/// get an answer without serving pods at once.
pub const PROXY_REQUESTS_MAX: usize = 256;
/// Memory for the last answers of users, in bytes: those of about 1,500 users with ten items each.
pub const LAST_ANSWERS_BYTES_MAX: u64 = 2 << 20;
/// Maximum size of an answer that is kept, in bytes.
pub const LAST_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Number of popular items that are kept.
pub const POPULAR_ITEMS: usize = 100;
/// Interval at which the popular items are asked for...
pub const POPULAR_INTERVAL: Duration = Duration::from_mins(1);
/// ...and until they are known.
pub const POPULAR_RETRY: Duration = Duration::from_secs(1);
/// Timeout of this request.
pub const POPULAR_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for requests in flight after SIGTERM: an app's sidecar ends after the app, which then waits
/// for no answer, and must not delay the end of a Job.
pub const PROXY_DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum number of I/O threads of an app's sidecar that holds the model: the CPUs belong to the app.
pub const PROXY_THREADS_MAX: usize = 2;

/// Offset of ranks in a blend, which the authors of reciprocal rank fusion found to suit many lists.
pub const RANK_OFFSET: f64 = 60.0;
/// Minimum number of items that a blend asks each part for.
pub const BLEND_DEPTH_MIN: usize = 100;
/// Time for a composed answer, if its request states none.
pub const COMPOSED_TIMEOUT: Duration = Duration::from_secs(1);
/// Part of the time of a composed answer that is kept to make it of those of the parts: one over
/// this number...
pub const COMPOSING_TIME_DIVISOR: u32 = 10;
/// ...and at most this.
pub const COMPOSING_TIME_MAX: Duration = Duration::from_millis(20);
/// Maximum length of what a part states about a question that it rejects, in characters.
pub const PART_DETAIL_CHARS_MAX: usize = 1000;
/// Maximum number of items that one request asks a part for; a longer batch is several requests. With
/// titles, its answer has at most a few MiB.
pub const ITEMS_PER_PART_REQUEST_MAX: usize = 10_000;
/// Maximum number of composed requests in flight; more get 503.
pub const COMPOSED_REQUESTS_MAX: usize = 1024;
/// Number of times that a question is sent to a part whose revision changes meanwhile.
pub const REVISION_TRIES_MAX: usize = 2;
/// Maximum wait for the addresses of new parts, before a composition serves with them.
pub const FIRST_LOOKUP_MAX: Duration = Duration::from_secs(1);
/// Interval at which this is checked.
pub const FIRST_LOOKUP_INTERVAL: Duration = Duration::from_millis(20);

/// Default poll interval of the serving config, in milliseconds.
pub const CONFIG_POLL_MS_DEFAULT: u64 = 500;
/// Maximum size of the serving config, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// First delay between two attempts to load a revision.
pub const LOAD_RETRY_MIN: Duration = Duration::from_secs(1);
/// Maximum delay between two attempts to load a revision.
pub const LOAD_RETRY_MAX: Duration = Duration::from_secs(30);
/// Pause after a load during which the process ended, doubled after each further one...
pub const CRASH_PAUSE_MIN: Duration = Duration::from_mins(1);
/// ...up to this.
pub const CRASH_PAUSE_MAX: Duration = Duration::from_hours(1);
/// Memory that stays free in addition to a snapshot, in bytes: [`TRANSFER_BYTES_MAX`] (16 MiB), the
/// shares of [`REQUEST_SHARES_MAX`] requests (8 MiB), the streams of the two listeners for HTTP/2
/// (12 MiB each), and 32 MiB for the buffers of connections and a body that is being parsed. Tests
/// measure it under attack over HTTP/1 and HTTP/2; docs/revisions.md states it.
pub const HEADROOM_RESERVE_BYTES: u64 = sidecar_contract::serving_memory::HEADROOM_RESERVE_BYTES;
const _: () = {
    let streams = 2 * HTTP2_ACTIVE_STREAMS_MAX * HTTP2_STREAM_BYTES;
    let parts = TRANSFER_BYTES_MAX + REQUEST_SHARES_MAX * REQUEST_SHARE_BYTES + streams + (32 << 20);
    assert!(parts as u64 <= HEADROOM_RESERVE_BYTES);
};
/// Default of the maximum number of rows that `suggest` reads.
pub const SUGGEST_ROWS_MAX: u64 = 10_000_000;
/// Number of recommendations that are computed to warm up a model before it serves.
pub const WARM_UP_ANSWERS: u32 = 8;

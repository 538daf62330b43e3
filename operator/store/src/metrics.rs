//! Metrics of the store: names, labels and buckets. Every label has a closed set of values.

use std::time::Duration;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    core::{AtomicU64, GenericCounter},
};

/// Seconds; the range covers a cached read up to the flush of a large file.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0, 60.0];

macro_rules! operations {
    ($($name:ident),*) => {
        /// S3 operation of a request; `Other` is denied.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are S3's")]
        pub enum Operation { $($name,)* Other }

        impl Operation {
            /// Parses the name that S3 gives the operation.
            pub fn named(name: &str) -> Self {
                match name { $(stringify!($name) => Self::$name,)* _ => Self::Other }
            }

            /// Name of the operation in S3, or `Other`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* Self::Other => "Other" }
            }
        }
    };
}

operations!(
    GetObject,
    HeadObject,
    PutObject,
    DeleteObject,
    DeleteObjects,
    ListObjectsV2,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    HeadBucket,
    GetBucketLocation
);

/// Metrics of the store.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    /// Bytes of objects received.
    pub received_bytes: GenericCounter<AtomicU64>,
    /// Bytes of responses sent.
    pub sent_bytes: GenericCounter<AtomicU64>,
    in_flight: IntGauge,
    free_bytes: IntGauge,
    size_bytes: IntGauge,
}

impl Metrics {
    /// Registers the metrics on a new registry.
    pub fn new() -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("recommender_store_requests_total", "Requests by operation and HTTP status."),
            &["operation", "code"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "recommender_store_request_duration_seconds",
                "Time from request head to response head, by operation.",
            )
            .buckets(DURATION_BUCKETS.to_vec()),
            &["operation"],
        )?;
        let received_bytes =
            GenericCounter::new("recommender_store_received_bytes_total", "Bytes of objects received.")?;
        let sent_bytes = GenericCounter::new("recommender_store_sent_bytes_total", "Bytes of responses sent.")?;
        let in_flight = IntGauge::new("recommender_store_requests_in_flight", "Requests in flight.")?;
        let free_bytes = IntGauge::new("recommender_store_disk_free_bytes", "Free space of the volume.")?;
        let size_bytes = IntGauge::new("recommender_store_disk_size_bytes", "Capacity of the volume.")?;
        let registry = Registry::new();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(received_bytes.clone()))?;
        registry.register(Box::new(sent_bytes.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(free_bytes.clone()))?;
        registry.register(Box::new(size_bytes.clone()))?;
        Ok(Self { registry, requests, durations, received_bytes, sent_bytes, in_flight, free_bytes, size_bytes })
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn begin_request(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Records the response to a request.
    pub fn record_request(&self, operation: Operation, code: u16, took: Duration) {
        self.requests.with_label_values(&[operation.as_str(), &code.to_string()]).inc();
        self.durations.with_label_values(&[operation.as_str()]).observe(took.as_secs_f64());
    }

    /// Renders the Prometheus text format.
    pub fn render(&self, free_bytes: Option<u64>, size_bytes: Option<u64>) -> Result<Vec<u8>, prometheus::Error> {
        for (gauge, bytes) in [(&self.free_bytes, free_bytes), (&self.size_bytes, size_bytes)] {
            if let Some(bytes) = bytes {
                gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Guard that counts a request as in flight.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

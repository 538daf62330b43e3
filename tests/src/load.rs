//! Open-loop load generator. Requests are sent at their scheduled times, independent of the outcome
//! of earlier requests, and each response is checked.
//!
//! A closed-loop client waits for each response before its next request. It slows down with the
//! server and therefore hides latency (coordinated omission). Here latency counts from the
//! scheduled time of a request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// Maximum number of requests in flight; a request above it counts as failed.
const IN_FLIGHT_MAX: usize = 4096;
/// Timeout of a request. It only ends a request that hangs: on a busy machine a response may take
/// seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause before a request that could not connect is sent again, once: a service of which no pod
/// listens for longer than this fails.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// Problem types of a server without enough CPU. A client repeats such a request.
const SHED_TYPES: [&str; 2] = ["urn:recmesh:problem:overloaded", "urn:recmesh:problem:too-slow"];
/// Maximum number of failures whose text is recorded.
const FAILURES_RECORDED_MAX: usize = 20;
/// Maximum number of recorded latencies: three hours at 200 requests per second.
const LATENCIES_MAX: usize = 2_200_000;

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method: POST with a body, or GET.
    pub method: Method,
    /// Absolute URL.
    pub url: String,
    /// JSON body of a POST.
    pub body: Value,
}

impl Request {
    /// Creates a POST request with a JSON body.
    pub fn post(url: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, url: url.into(), body }
    }
}

/// Validates the body of a response with status 200.
pub type CheckFn = Arc<dyn Fn(&Value) -> Result<()> + Send + Sync>;
/// Creates the request with this number.
pub type RequestFn = Arc<dyn Fn(u64) -> Request + Send + Sync>;

/// Result of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Number of scheduled requests.
    pub scheduled: u64,
    /// Number of requests with status 200 and a valid body.
    pub succeeded: u64,
    /// Number of requests that were rejected with 503 and Retry-After because of overload.
    pub shed: u64,
    /// Number of rejected requests by their problem detail.
    pub shed_details: BTreeMap<String, u64>,
    /// Number of all other requests: connection error, timeout, another status, invalid body.
    pub failed: u64,
    /// First failures: seconds since the start, and error text.
    pub failures: Vec<(f64, String)>,
    /// Number of successful requests by revision.
    pub revisions: BTreeMap<String, u64>,
    /// Latencies of successful requests in microseconds, from the scheduled time; ascending.
    pub success_micros: Vec<u32>,
    /// Latencies of rejected requests, likewise.
    pub shed_micros: Vec<u32>,
    /// Duration of the load.
    pub duration: Duration,
}

impl Outcome {
    /// Returns the latency quantile `q` of successful requests.
    pub fn success_quantile(&self, q: f64) -> Option<Duration> {
        quantile(&self.success_micros, q)
    }

    /// Returns the latency quantile `q` of rejected requests.
    pub fn shed_quantile(&self, q: f64) -> Option<Duration> {
        quantile(&self.shed_micros, q)
    }

    /// Returns an error with the first failures if a request failed. Requests that were rejected
    /// because of overload are not failures: their number depends on the free CPU of the machine.
    pub fn require_no_failure(&self) -> Result<&Self> {
        ensure!(
            self.failed == 0 && self.succeeded + self.shed == self.scheduled,
            "{} of {} requests failed and {} were rejected; first failures: {:#?}; rejected: {:?}",
            self.failed,
            self.scheduled,
            self.shed,
            self.failures,
            self.shed_details
        );
        Ok(self)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into a list")]
fn quantile(ascending: &[u32], q: f64) -> Option<Duration> {
    let last = ascending.len().checked_sub(1)?;
    let index = (last as f64 * q.clamp(0.0, 1.0)).round() as usize;
    ascending.get(index).map(|micros| Duration::from_micros(u64::from(*micros)))
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    outcome: Arc<Mutex<Outcome>>,
    begin: Instant,
}

impl Load {
    /// Starts a load with Poisson arrivals from a fixed seed, `per_second` on average.
    pub fn start(http: &reqwest::Client, per_second: f64, request: RequestFn, check: CheckFn) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let begin = Instant::now();
        let shared = Arc::new(Shared { http: http.clone(), check, outcome: Arc::clone(&outcome), begin });
        let running = tokio::spawn(async move {
            let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
            let mut intervals = Exponential(0x9e37_79b9_7f4a_7c15);
            let mut tasks = JoinSet::new();
            let mut scheduled_at = begin;
            for number in 0.. {
                scheduled_at += intervals.next(per_second);
                tokio::select! {
                    () = tokio::time::sleep_until(scheduled_at) => {}
                    _ = &mut stopped => break,
                }
                while tasks.try_join_next().is_some() {}
                match Arc::clone(&in_flight).try_acquire_owned() {
                    Ok(permit) => drop(tasks.spawn(Arc::clone(&shared).run(request(number), scheduled_at, permit))),
                    Err(_) => shared.record_failure(scheduled_at, format!("{IN_FLIGHT_MAX} requests are in flight")),
                }
            }
            while tasks.join_next().await.is_some() {}
        });
        Self { stop, running, outcome, begin }
    }

    /// Returns the result so far. Its latencies are not sorted.
    pub fn snapshot(&self) -> Outcome {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops sending requests, and waits for those in flight.
    pub async fn stop(self) -> Result<Outcome> {
        let duration = self.begin.elapsed();
        let _ = self.stop.send(());
        self.running.await.context("the load task panicked")?;
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome.success_micros.sort_unstable();
        outcome.shed_micros.sort_unstable();
        outcome.duration = duration;
        Ok(outcome)
    }

    /// Runs a load for this long.
    pub async fn run(
        http: &reqwest::Client,
        per_second: f64,
        time: Duration,
        request: RequestFn,
        check: CheckFn,
    ) -> Result<Outcome> {
        let load = Self::start(http, per_second, request, check);
        tokio::time::sleep(time).await;
        load.stop().await
    }
}

struct Shared {
    http: reqwest::Client,
    check: CheckFn,
    outcome: Arc<Mutex<Outcome>>,
    begin: Instant,
}

enum Reply {
    /// Model revision of the response.
    Success(String),
    /// Problem detail of a rejected request.
    Shed(String),
}

impl Shared {
    async fn run(self: Arc<Self>, request: Request, scheduled_at: Instant, permit: OwnedSemaphorePermit) {
        let reply = self.send(request).await;
        let micros = u32::try_from(scheduled_at.elapsed().as_micros()).unwrap_or(u32::MAX);
        drop(permit);
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return self.record_failure(scheduled_at, format!("{error:#}")),
        };
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.scheduled += 1;
        let latencies = match reply {
            Reply::Success(revision) => {
                outcome.succeeded += 1;
                *outcome.revisions.entry(revision).or_default() += 1;
                &mut outcome.success_micros
            }
            Reply::Shed(detail) => {
                outcome.shed += 1;
                if outcome.shed_details.len() < FAILURES_RECORDED_MAX || outcome.shed_details.contains_key(&detail) {
                    *outcome.shed_details.entry(detail).or_default() += 1;
                }
                &mut outcome.shed_micros
            }
        };
        if latencies.len() < LATENCIES_MAX {
            latencies.push(micros);
        }
    }

    async fn send(&self, Request { method, url, body }: Request) -> Result<Reply> {
        let attempt = || self.http.request(method.clone(), &url).timeout(REQUEST_TIMEOUT).json(&body).send();
        let mut sent = attempt().await;
        // A pod closes its port some seconds after SIGTERM. On a busy node kube-proxy may still choose
        // it then, and clients connect again, because no request has been sent. After the connection
        // nothing is repeated.
        if sent.as_ref().is_err_and(reqwest::Error::is_connect) {
            tokio::time::sleep(RECONNECT_PAUSE).await;
            sent = attempt().await;
        }
        let response = sent.context("no response")?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (revision, retry_after) = (header("x-model-revision"), header("retry-after"));
        let text = response.text().await.context("incomplete response body")?;
        if status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some() {
            let problem: Value = serde_json::from_str(&text).context("the body of a 503 is not valid JSON")?;
            ensure!(problem["type"].as_str().is_some_and(|kind| SHED_TYPES.contains(&kind)), "{status}: {text}");
            return Ok(Reply::Shed(problem["detail"].as_str().unwrap_or_default().to_owned()));
        }
        ensure!(status == StatusCode::OK, "{status}: {text}");
        let revision = revision.context("the response has no x-model-revision header")?;
        let body: Value = serde_json::from_str(&text).context("the body is not valid JSON")?;
        ensure!(body["model"]["revision"] == revision.as_str(), "header and body name different revisions: {text}");
        (self.check)(&body).with_context(|| text.clone())?;
        Ok(Reply::Success(revision))
    }

    fn record_failure(&self, scheduled_at: Instant, error: String) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.scheduled += 1;
        outcome.failed += 1;
        if outcome.failures.len() < FAILURES_RECORDED_MAX {
            outcome.failures.push(((scheduled_at - self.begin).as_secs_f64(), error));
        }
    }
}

/// Item id prefix (the text before the last `-`) of each revision. The first response of a revision
/// determines its prefix; later responses must have the same one.
#[derive(Debug, Default)]
pub struct ItemSets(Mutex<BTreeMap<String, String>>);

impl ItemSets {
    /// Returns a check that each response has items, and only items of its revision.
    pub fn check(self: &Arc<Self>) -> CheckFn {
        let sets = Arc::clone(self);
        Arc::new(move |body| sets.check_items(body))
    }

    fn check_items(&self, body: &Value) -> Result<()> {
        let revision = body["model"]["revision"].as_str().context("the response has no revision")?;
        let items = body["items"].as_array().context("the response has no items")?;
        ensure!(!items.is_empty(), "the response has no items");
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            let id = item["id"].as_str().context("an item has no id")?;
            let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
            let known = sets.entry(revision.to_owned()).or_insert_with(|| prefix.to_owned());
            ensure!(
                known == prefix,
                "item {id} does not belong to revision {revision}: its items have the prefix {known}-"
            );
        }
        Ok(())
    }

    /// Returns the prefixes by revision.
    pub fn prefixes(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Exponentially distributed intervals between arrivals.
struct Exponential(u64);

impl Exponential {
    fn next(&mut self, per_second: f64) -> Duration {
        // xorshift64 (Marsaglia 2003); the upper 32 bits give a number in (0, 1].
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uniform = ((self.0 >> 32) as f64 + 1.0) / 4_294_967_296.0;
        Duration::from_secs_f64(-uniform.ln() / per_second)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpSocket},
    };

    use super::*;

    #[test]
    fn items_of_another_revision_are_rejected() {
        let sets = Arc::new(ItemSets::default());
        let check = sets.check();
        let body = |revision: &str, items: &[&str]| {
            let items: Vec<Value> = items.iter().map(|id| json!({"id": id})).collect();
            json!({"model": {"revision": revision}, "items": items})
        };
        check(&body("a", &["one-1", "one-2"])).unwrap();
        check(&body("b", &["two-1"])).unwrap();
        check(&body("a", &["one-3", "two-1"])).unwrap_err();
        check(&body("b", &["one-1"])).unwrap_err();
        check(&body("b", &[])).unwrap_err();
        assert_eq!(sets.prefixes().len(), 2);
    }

    #[test]
    fn mean_arrival_rate_is_as_configured() {
        let mut intervals = Exponential(7);
        let total: Duration = (0..100_000).map(|_| intervals.next(200.0)).sum();
        assert!((total.as_secs_f64() - 500.0).abs() < 10.0, "{total:?}");
    }

    /// Server that responds to four successive requests with 200, 503 for overload, 503 without a
    /// model, and 500.
    async fn serve(listener: TcpListener) {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n{}") {
                let mut part = [0; 4096];
                let Ok(length @ 1..) = stream.read(&mut part).await else { break };
                request.extend_from_slice(&part[..length]);
            }
            let body = r#"{"model":{"revision":"r"},"items":[{"id":"a-1"}]}"#;
            let length = body.len();
            let rejected = |kind: &str| {
                let problem = format!("{{\"type\":\"urn:recmesh:problem:{kind}\"}}");
                let head = "HTTP/1.1 503 Busy\r\nconnection: close\r\nretry-after: 1";
                format!("{head}\r\ncontent-length: {}\r\n\r\n{problem}", problem.len())
            };
            let response = match number % 4 {
                0 => format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\nx-model-revision: r\r\ncontent-length: {length}\r\n\r\n{body}"
                ),
                1 => rejected("overloaded"),
                2 => rejected("not-ready"),
                _ => "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(response.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn every_request_is_counted_once() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/recommend", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener));
        let request: RequestFn = Arc::new(move |_| Request::post(url.clone(), json!({})));
        let load = Load::start(&reqwest::Client::new(), 300.0, request, Arc::new(ItemSets::default()).check());
        while load.snapshot().scheduled < 40 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let outcome = load.stop().await.unwrap();
        server.abort();
        assert_eq!(outcome.scheduled, outcome.succeeded + outcome.shed + outcome.failed, "{outcome:?}");
        assert!(outcome.succeeded >= 10 && outcome.shed >= 10 && outcome.failed >= 20, "{outcome:?}");
        assert_eq!(outcome.success_micros.len() as u64, outcome.succeeded);
        assert!(outcome.success_quantile(0.5) <= outcome.success_quantile(0.99));
        assert!(outcome.require_no_failure().is_err());
        for part in ["500", "not-ready"] {
            assert!(outcome.failures.iter().any(|(_, error)| error.contains(part)), "{:?}", outcome.failures);
        }
        let scheduled = outcome.succeeded + outcome.shed;
        assert!(Outcome { scheduled, failed: 0, ..outcome }.require_no_failure().is_ok());
    }

    #[tokio::test]
    async fn a_request_that_never_connects_fails() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Bound and not listening: connections are refused, and nobody else gets the port.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}/recommend", socket.local_addr().unwrap());
        let request: RequestFn = Arc::new(move |_| Request::post(url.clone(), json!({})));
        let load = Load::start(&reqwest::Client::new(), 50.0, request, Arc::new(|_| Ok(())));
        while load.snapshot().failed == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let outcome = load.stop().await.unwrap();
        assert_eq!(outcome.failed, outcome.scheduled, "{outcome:?}");
    }
}

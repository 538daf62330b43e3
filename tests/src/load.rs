//! An open-loop load: requests leave at their own times, whatever became of those before, and each answer is checked.
//!
//! A client that waits for its answers before it asks again slows down with the server and hides what others suffer
//! (coordinated omission); here latency counts from the time at which a request was due.

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

/// Requests in flight; what is due beyond counts as failed.
const IN_FLIGHT_MAX: usize = 4096;
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Failures that are kept word for word.
const FAILURES_KEPT_MAX: usize = 20;
/// Latencies that are kept: three hours at 200 requests a second.
const LATENCIES_MAX: usize = 2_200_000;

/// What to ask.
#[derive(Clone, Debug)]
pub struct Request {
    /// POST with a body, or GET.
    pub method: Method,
    /// Whole URL.
    pub url: String,
    /// Body of a POST.
    pub body: Value,
}

impl Request {
    /// A POST of JSON.
    pub fn post(url: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, url: url.into(), body }
    }
}

/// Says what is wrong with an answer of status 200.
pub type Check = Arc<dyn Fn(&Value) -> Result<()> + Send + Sync>;
/// Makes the request of a number.
pub type Ask = Arc<dyn Fn(u64) -> Request + Send + Sync>;

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests that were due.
    pub due: u64,
    /// Answered 200, and right.
    pub right: u64,
    /// Refused with 503 and Retry-After.
    pub shed: u64,
    /// Refusals by what they say.
    pub shed_details: BTreeMap<String, u64>,
    /// Anything else: no connection, no answer, another status, a wrong answer.
    pub failed: u64,
    /// The first failures: seconds since the start, and what happened.
    pub failures: Vec<(f64, String)>,
    /// Right answers by revision.
    pub revisions: BTreeMap<String, u64>,
    /// Microseconds from due to answered, of right answers; ascending.
    pub right_micros: Vec<u32>,
    /// The same of refusals.
    pub shed_micros: Vec<u32>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// The latency below which this share of the right answers came.
    pub fn right_at(&self, share: f64) -> Option<Duration> {
        quantile(&self.right_micros, share)
    }

    /// The same of refusals.
    pub fn shed_at(&self, share: f64) -> Option<Duration> {
        quantile(&self.shed_micros, share)
    }

    /// An error that names the first failures, if there are any; refusals count when they are not expected.
    pub fn without_failures(&self) -> Result<&Self> {
        ensure!(
            self.failed == 0 && self.shed == 0 && self.right == self.due,
            "{} of {} requests failed, {} were refused; the first: {:#?}; refused: {:?}",
            self.failed,
            self.due,
            self.shed,
            self.failures,
            self.shed_details
        );
        Ok(self)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
fn quantile(ascending: &[u32], share: f64) -> Option<Duration> {
    let last = ascending.len().checked_sub(1)?;
    let place = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    ascending.get(place).map(|micros| Duration::from_micros(u64::from(*micros)))
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
    /// Starts; arrivals are random (Poisson) from a fixed seed, `per_second` on average.
    pub fn start(http: &reqwest::Client, per_second: f64, ask: Ask, check: Check) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let begin = Instant::now();
        let shared = Arc::new(Shared { http: http.clone(), check, outcome: Arc::clone(&outcome), begin });
        let running = tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
            let mut random = Exponential(0x9e37_79b9_7f4a_7c15);
            let mut asking = JoinSet::new();
            let mut due = begin;
            for number in 0.. {
                due += random.next(per_second);
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    _ = &mut stopped => break,
                }
                while asking.try_join_next().is_some() {}
                match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => drop(asking.spawn(Arc::clone(&shared).one(ask(number), due, place))),
                    Err(_) => shared.failed(due, format!("{IN_FLIGHT_MAX} requests are in flight")),
                }
            }
            while asking.join_next().await.is_some() {}
        });
        Self { stop, running, outcome, begin }
    }

    /// What came of it so far; latencies are not in order yet.
    pub fn so_far(&self) -> Outcome {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends nothing more, and waits for the answers that are still due.
    pub async fn stop(self) -> Result<Outcome> {
        let took = self.begin.elapsed();
        let _ = self.stop.send(());
        self.running.await.context("the load broke off")?;
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome.right_micros.sort_unstable();
        outcome.shed_micros.sort_unstable();
        outcome.took = took;
        Ok(outcome)
    }

    /// Runs for a while and stops.
    pub async fn run(
        http: &reqwest::Client,
        per_second: f64,
        time: Duration,
        ask: Ask,
        check: Check,
    ) -> Result<Outcome> {
        let load = Self::start(http, per_second, ask, check);
        tokio::time::sleep(time).await;
        load.stop().await
    }
}

struct Shared {
    http: reqwest::Client,
    check: Check,
    outcome: Arc<Mutex<Outcome>>,
    begin: Instant,
}

enum Answer {
    Right(String),
    Shed(String),
}

impl Shared {
    async fn one(self: Arc<Self>, request: Request, due: Instant, place: OwnedSemaphorePermit) {
        let answer = self.ask(request).await;
        let micros = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
        drop(place);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.failed(due, format!("{error:#}")),
        };
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.due += 1;
        let micros_of = match answer {
            Answer::Right(revision) => {
                outcome.right += 1;
                *outcome.revisions.entry(revision).or_default() += 1;
                &mut outcome.right_micros
            }
            Answer::Shed(detail) => {
                outcome.shed += 1;
                if outcome.shed_details.len() < FAILURES_KEPT_MAX || outcome.shed_details.contains_key(&detail) {
                    *outcome.shed_details.entry(detail).or_default() += 1;
                }
                &mut outcome.shed_micros
            }
        };
        if micros_of.len() < LATENCIES_MAX {
            micros_of.push(micros);
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer> {
        let Request { method, url, body } = request;
        let asked = self.http.request(method, url).timeout(ANSWER_TIMEOUT).json(&body).send();
        let answer = asked.await.context("no answer")?;
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (revision, retry_after) = (header("x-model-revision"), header("retry-after"));
        let text = answer.text().await.context("half an answer")?;
        if status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some() {
            let problem: Value = serde_json::from_str(&text).context("a refusal that is no JSON")?;
            return Ok(Answer::Shed(problem["detail"].as_str().unwrap_or_default().to_owned()));
        }
        ensure!(status == StatusCode::OK, "{status}: {text}");
        let revision = revision.context("the answer names no revision")?;
        let answer: Value = serde_json::from_str(&text).context("no JSON")?;
        ensure!(answer["model"]["revision"] == revision.as_str(), "header and body name different revisions: {text}");
        (self.check)(&answer).with_context(|| text.clone())?;
        Ok(Answer::Right(revision))
    }

    fn failed(&self, due: Instant, what: String) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.due += 1;
        outcome.failed += 1;
        if outcome.failures.len() < FAILURES_KEPT_MAX {
            outcome.failures.push(((due - self.begin).as_secs_f64(), what));
        }
    }
}

/// Each revision's items have a prefix of their own (the text before the last `-`): learned at first sight, and kept to.
#[derive(Debug, Default)]
pub struct ItemSets(Mutex<BTreeMap<String, String>>);

impl ItemSets {
    /// A check that every answer has items, and only those of its revision.
    pub fn check(self: &Arc<Self>) -> Check {
        let sets = Arc::clone(self);
        Arc::new(move |answer| sets.look_at(answer))
    }

    fn look_at(&self, answer: &Value) -> Result<()> {
        let revision = answer["model"]["revision"].as_str().context("a revision")?;
        let items = answer["items"].as_array().context("items")?;
        ensure!(!items.is_empty(), "an empty answer");
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            let id = item["id"].as_str().context("an id")?;
            let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
            let known = sets.entry(revision.to_owned()).or_insert_with(|| prefix.to_owned());
            ensure!(known == prefix, "item {id} is not of revision {revision}, whose items are {known}-…");
        }
        Ok(())
    }

    /// Prefixes by revision.
    pub fn seen(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Times between random arrivals.
struct Exponential(u64);

impl Exponential {
    fn next(&mut self, per_second: f64) -> Duration {
        // xorshift64 (Marsaglia 2003); its upper 32 bits as a number in (0, 1].
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
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn items_of_another_revision_are_noticed() {
        let sets = Arc::new(ItemSets::default());
        let check = sets.check();
        let answer = |revision: &str, items: &[&str]| {
            let items: Vec<Value> = items.iter().map(|id| json!({"id": id})).collect();
            json!({"model": {"revision": revision}, "items": items})
        };
        check(&answer("a", &["one-1", "one-2"])).unwrap();
        check(&answer("b", &["two-1"])).unwrap();
        check(&answer("a", &["one-3", "two-1"])).unwrap_err();
        check(&answer("b", &["one-1"])).unwrap_err();
        check(&answer("b", &[])).unwrap_err();
        assert_eq!(sets.seen().len(), 2);
    }

    #[test]
    fn arrivals_come_at_their_rate() {
        let mut random = Exponential(7);
        let total: Duration = (0..100_000).map(|_| random.next(200.0)).sum();
        assert!((total.as_secs_f64() - 500.0).abs() < 10.0, "{total:?}");
    }

    /// A server that answers every third request right, refuses one, and breaks off one.
    async fn serve(listener: TcpListener) {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let body = r#"{"model":{"revision":"r"},"items":[{"id":"a-1"}]}"#;
            let length = body.len();
            let answer = match number % 3 {
                0 => format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\nx-model-revision: r\r\ncontent-length: {length}\r\n\r\n{body}"
                ),
                1 => {
                    "HTTP/1.1 503 Busy\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}".to_owned()
                }
                _ => "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn every_request_is_accounted_for() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/recommend", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener));
        let ask: Ask = Arc::new(move |_| Request::post(url.clone(), json!({})));
        let load = Load::start(&reqwest::Client::new(), 300.0, ask, Arc::new(ItemSets::default()).check());
        while load.so_far().due < 30 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let outcome = load.stop().await.unwrap();
        server.abort();
        assert_eq!(outcome.due, outcome.right + outcome.shed + outcome.failed, "{outcome:?}");
        assert!(outcome.right >= 10 && outcome.shed >= 10 && outcome.failed >= 9, "{outcome:?}");
        assert_eq!(outcome.right_micros.len() as u64, outcome.right);
        assert!(outcome.right_at(0.5) <= outcome.right_at(0.99));
        assert!(outcome.without_failures().is_err());
        assert!(outcome.failures[0].1.contains("500"), "{:?}", outcome.failures);
    }
}

//! An app's sidecar with real serving pods that are killed, frozen, or fail.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    model::train,
    pending::Pending,
    process::{
        ClosedPort, DEADLINE, PATIENT, Process, patient, recommend, request, request_with, start, start_proxy,
        start_with, wait_for,
    },
};

/// Clients that ask until they are stopped, and count responses by status.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    statuses: Arc<Mutex<BTreeMap<u16, usize>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Requests with these headers.
    pub fn start(port: u16, headers: &'static str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let statuses = Arc::new(Mutex::new(BTreeMap::new()));
        let client = |client: usize| {
            let (stop, answered, statuses) = (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&statuses));
            std::thread::spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let user = format!("user{}", (client + number) % 60);
                    let body = json!({"user": user, "n": 5}).to_string();
                    // 0: the connection failed.
                    let headers = format!("content-type: application/json\r\n{headers}");
                    let status = request_with(port, "POST /recommend", &headers, &body).map_or(0, |(status, _)| status);
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let clients = (0..8).map(client).collect();
        Self { stop, answered, statuses, clients }
    }

    /// Waits for further responses.
    pub fn continue_for(&self, responses: usize) {
        let begin = self.answered.load(Ordering::SeqCst);
        wait_for("responses under load", || self.answered.load(Ordering::SeqCst) >= begin + responses);
    }

    /// Number of responses by status.
    pub fn finish(self) -> BTreeMap<u16, usize> {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        self.statuses.lock().unwrap().clone()
    }
}

/// Serving pods, and an app's sidecar that knows them.
async fn pods_and_proxy(directory: &std::path::Path, pods: usize) -> (Vec<Process>, Process) {
    let model = train(directory, 4).await;
    let pods: Vec<Process> = (0..pods).map(|_| start_with(directory, &["--model", model.to_str().unwrap()])).collect();
    for pod in &pods {
        wait_for("readiness", || pod.is_ready());
    }
    let ports: Vec<u16> = pods.iter().map(|pod| pod.port).collect();
    let proxy = start_proxy(directory, &ports);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 5).0 == 200);
    (pods, proxy)
}

fn is_from_a_serving_pod(port: u16) -> bool {
    let (status, answer) = recommend(port, 5);
    assert_eq!(status, 200, "{answer}");
    answer.get("degraded").is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_pods_are_killed_and_frozen() {
    let directory = tempfile::tempdir().unwrap();
    let (mut pods, proxy) = pods_and_proxy(directory.path(), 3).await;
    let begin = Instant::now();
    // There is an answer to keep for each user.
    for user in 0..60 {
        let body = json!({"user": format!("user{user}"), "n": 5}).to_string();
        assert_eq!(request(proxy.port, "POST", "/recommend", &body).unwrap().0, 200);
    }
    // Clients that wait long would hardly ask while no pod answers.
    let load = Load::start(proxy.port, "x-request-timeout-ms: 1000\r\n");
    load.continue_for(300);
    pods[0].signal("-KILL");
    load.continue_for(1000);
    pods[1].freeze();
    load.continue_for(1000);
    // Nothing answers now, except from what is kept.
    pods[2].freeze();
    load.continue_for(200);
    pods[1].signal("-CONT");
    pods[2].signal("-CONT");
    wait_for("an answer of a serving pod", || is_from_a_serving_pod(proxy.port));
    load.continue_for(300);
    let statuses = load.finish();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    pods[0].child.wait().unwrap();
    // The budget: 10 retries for each second and for 10 more, and a fifth of the requests.
    let free = 10.0 * (begin.elapsed().as_secs_f64() + 10.0);
    let (requests, retries) = (
        proxy.metric("recommender_proxy_requests_total", ""),
        proxy.metric("recommender_proxy_retries_total", "retried"),
    );
    assert!(retries > 0.0 && retries <= free + requests / 5.0, "{retries} retries of {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fails_at_once_gets_only_probes() {
    let directory = tempfile::tempdir().unwrap();
    let model = train(directory.path(), 4).await;
    let pod = || start_with(directory.path(), &["--model", model.to_str().unwrap()]);
    // A serving pod without a model answers 503 at once.
    let (first, second, failing) = (pod(), pod(), start(directory.path()));
    let proxy = start_proxy(directory.path(), &[first.port, second.port, failing.port]);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 5).0 == 200);
    let load = Load::start(proxy.port, PATIENT);
    load.continue_for(3000);
    let statuses = load.finish();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    let refused = failing.metric("recommender_http_requests_total", "code=\"503\"");
    let ejections = proxy.metric("recommender_proxy_ejections_total", "");
    let retried = proxy.metric("recommender_proxy_retries_total", "retried");
    // Five failures eject it, while each client may have one request in flight; then each period
    // ends with a probe.
    assert!(refused >= 1.0 && refused <= 5.0 + 8.0 + ejections, "{refused} requests, {ejections} ejections");
    // Requests for the popular items are not worth a retry: the first ones, one that may still be in
    // flight, and those that happen to be the probe at the end of a period.
    assert!(retried + ejections + 2.0 >= refused, "{retried} retries of {refused} requests, {ejections} ejections");
}

/// Status, headers and body. The head has the request line and headers.
pub fn raw(port: u16, head: &str, body: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = patient(head);
    write!(stream, "{head}host: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), serde_json::from_str(body).unwrap())
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_serving_pods_the_last_answer_then_popular_items_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let (pods, proxy) = pods_and_proxy(directory.path(), 1).await;
    let pod = &pods[0];
    let (_, direct) = recommend(pod.port, 5);
    let (_, answer) = recommend(proxy.port, 5);
    assert_eq!((&answer["items"], &answer["model"]), (&direct["items"], &direct["model"]));
    assert!(answer.get("degraded").is_none());
    wait_for("popular items", || pod.metric("recommender_recommendations_total", "popular") >= 20.0);
    let everybody = json!({"user": "nobody", "n": 20}).to_string();
    let popular: Value = serde_json::from_str(&request(pod.port, "POST", "/recommend", &everybody).unwrap().1).unwrap();
    let popular = ids(&popular);
    let impatient = |target: &str, content_type: &str, body: &str| {
        let head = format!("{target} HTTP/1.1\r\ncontent-type: {content_type}\r\nx-request-timeout-ms: 300\r\n");
        raw(proxy.port, &head, body)
    };
    let ask = |path: &str, body: Value| impatient(&format!("POST {path}"), "application/json", &body.to_string());
    // The pod counts items before it sends them, so the proxy may not have them yet.
    wait_for("popular items in the proxy", || {
        pod.freeze();
        let (status, _, answer) = ask("/recommend", json!({"user": "nobody", "n": 1}));
        if status != 200 {
            assert!([503, 504].contains(&status), "{answer}");
            pod.signal("-CONT");
            wait_for("an answer of a serving pod", || is_from_a_serving_pod(proxy.port));
        }
        status == 200
    });
    let (status, head, last) = ask("/recommend", json!({"user": "user6", "n": 7}));
    assert_eq!((status, &last["degraded"]), (200, &json!(true)), "{last}");
    assert!(head.contains("x-recmesh-fallback: last-answer"), "{head}");
    assert_eq!(ids(&last)[..5], ids(&direct));
    let sources: Vec<&str> = last["items"].as_array().unwrap().iter().map(|i| i["source"].as_str().unwrap()).collect();
    assert_eq!(
        sources,
        ["last-answer", "last-answer", "last-answer", "last-answer", "last-answer", "popular", "popular"]
    );
    assert_eq!(last["model"], direct["model"]);

    let (_, head, other) = ask("/recommend", json!({"user": "user7", "n": 3, "exclude": [popular[0]]}));
    assert!(head.contains("x-recmesh-fallback: popular"), "{head}");
    assert_eq!((ids(&other), &other["model"]["revision"]), (popular[1..4].to_vec(), &json!("popularity")));
    let (_, _, batch) =
        ask("/recommend:batch", json!({"requests": [{"user": "user6", "n": 1}, {"user": "user7", "n": 1}]}));
    assert_eq!(ids(&batch["responses"][0]), ids(&direct)[..1]);
    assert_eq!(ids(&batch["responses"][1]), popular[..1]);
    let (_, _, similar) = ask("/similar", json!({"item": popular[0], "n": 2}));
    assert_eq!(ids(&similar), popular[1..3]);
    let (_, _, form) = impatient("POST /recommend", "application/x-www-form-urlencoded", "user_id=user7&n=2");
    assert_eq!(form["recommendations"], json!(popular[..2]));
    let (status, _, problem) = ask("/recommend", json!({"n": 3}));
    assert!(status == 400 && problem["detail"].as_str().unwrap().starts_with("user: missing"), "{problem}");
    assert!(impatient("GET /model", "application/json", "").0 >= 503);

    let (_, metrics) = request(proxy.admin_port, "GET", "/metrics", "").unwrap();
    assert!(metrics.contains("answered_by=\"last-answer\",code=\"200\",route=\"/recommend\""), "{metrics}");
    assert!(!metrics.contains("user6") && !metrics.contains("item1"), "{metrics}");
    pod.signal("-CONT");
    wait_for("an answer of a serving pod", || is_from_a_serving_pod(proxy.port));
}

#[test]
fn it_starts_without_serving_pods_and_states_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let closed = ClosedPort::new();
    let proxy = start_proxy(directory.path(), &[closed.port]);
    assert_eq!(request(proxy.admin_port, "GET", "/readyz", "").unwrap().0, 200);
    let (status, problem) = recommend(proxy.port, 5);
    assert_eq!((status, problem["type"].as_str().unwrap()), (503, "urn:recmesh:problem:upstream-unavailable"));
    let head = "POST /recommend HTTP/1.1\r\ncontent-type: application/json\r\nx-request-timeout-ms: soon\r\n";
    let (status, _, problem) = raw(proxy.port, head, r#"{"user": "u"}"#);
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("x-request-timeout-ms"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_serving_pod_answers_is_returned_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let (pods, proxy) = pods_and_proxy(directory.path(), 1).await;
    let both = |method: &str, path: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json\r\nx-request-id: same\r\n");
        let [direct, mut forwarded] = [&pods[0], &proxy].map(|process| {
            let (status, head, body) = raw(process.port, &head, body);
            let mut head: Vec<String> = head.lines().skip(1).map(str::to_ascii_lowercase).collect();
            head.retain(|line| !line.starts_with("date:"));
            head.sort();
            (status, head, body)
        });
        // One header is added.
        let added = forwarded.1.iter().position(|line| line == "x-recmesh-answered-by: serving-pod").unwrap();
        forwarded.1.remove(added);
        assert_eq!(direct, forwarded, "{method} {path} {body}");
        direct.0
    };
    assert_eq!(both("POST", "/recommend", r#"{"user": "user6", "n": 3, "explain": true}"#), 200);
    assert_eq!(both("POST", "/recommend:batch", r#"{"requests": [{"user": "user6"}]}"#), 200);
    assert_eq!(both("POST", "/similar", r#"{"item": "item1"}"#), 200);
    assert_eq!(both("POST", "/similar", r#"{"item": "none"}"#), 404);
    assert_eq!(both("POST", "/recommend", r#"{"user": ""}"#), 400);
    assert_eq!(both("POST", "/recommend?x=1", r#"{"user": "user6"}"#), 400);
    assert_eq!(both("GET", "/model", ""), 200);
    assert_eq!(both("GET", "/openapi.json", ""), 200);
    assert_eq!(both("GET", "/elsewhere", ""), 404);
    assert_eq!(both("PUT", "/recommend", ""), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_goes_away_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (pods, proxy) = pods_and_proxy(directory.path(), 1).await;
    pods[0].freeze();
    let request = Pending::send(proxy.port, r#"{"user": "u"}"#).await;
    wait_for("the request", || proxy.metric("recommender_proxy_requests_in_flight", "") >= 1.0);
    request.abandon().await;
    wait_for("the end", || proxy.metric("recommender_proxy_requests_total", "code=\"499\"") >= 1.0);
    wait_for("no request", || proxy.metric("recommender_proxy_requests_in_flight", "") < 1.0);
    wait_for("the end of its try", || proxy.metric("recommender_proxy_tries_total", "cancelled") >= 1.0);
    pods[0].signal("-CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_exits_with_success_also_while_a_request_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let (pods, mut proxy) = pods_and_proxy(directory.path(), 1).await;
    pods[0].freeze();
    let body = r#"{"user": "u"}"#;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    let length = body.len();
    let head =
        "POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-request-timeout-ms: 60000\r\n";
    write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
    wait_for("the request", || proxy.metric("recommender_proxy_requests_in_flight", "") >= 1.0);
    proxy.signal("-TERM");
    wait_for("the exit", || proxy.child.try_wait().unwrap().is_some());
    assert!(proxy.child.wait().unwrap().success());
    pods[0].signal("-CONT");
}

//! Proxy between an operator and the API server. It counts the writes that changed an object, runs
//! a fault hook after a chosen write, and can serve stale lists and mangled watch events. It also
//! observes when a reconcile begins, so that a test can wait for a complete one.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _, channel::mpsc, stream};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::wait;

/// Annotation of a Recommender that [`Proxy::wait_reconciled`] changes to trigger a reconcile. It has
/// no other effect.
const TOUCH_ANNOTATION: &str = "recmesh.dev/reconcile-at";

/// Function that runs right after the chosen write, before its response is forwarded.
pub type FaultHook = Box<dyn Fn() + Send + Sync>;

/// Transforms a watch event: takes the path and the line of the event, and returns the lines to
/// send, each with a delay before it.
pub type WatchMangler = Box<dyn FnMut(&str, Bytes) -> Vec<(Duration, Bytes)> + Send>;

/// Creation or deletion of an object.
#[derive(Clone, Debug)]
pub struct ObservedWrite {
    /// State of the Recommender at the operator's last read: uid, generation, deletion timestamp,
    /// and annotations except `TOUCH_ANNOTATION`.
    pub last_read: serde_json::Value,
    /// Whether the object was created; otherwise it was deleted.
    pub created: bool,
    /// Object in the response of the API server.
    pub object: serde_json::Value,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type ProxyResponse = Response<UnsyncBoxBody<Bytes, Failure>>;

/// Proxy on a local port, without TLS. It sends requests with the credentials of its client.
pub struct Proxy {
    /// Address on which the proxy listens.
    pub address: SocketAddr,
    client: Client,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    recording: Mutex<Recording>,
    /// Incremented when lists and watches are passed through again.
    pass_throughs: watch::Sender<usize>,
    /// Reads of each Recommender by path. Every reconcile begins with one, and reconciles of one
    /// Recommender do not overlap.
    reconciles: watch::Sender<HashMap<String, Reconciles>>,
    /// Number of faults: stale lists that were served, and watch events that a mangler received.
    faults: watch::Sender<usize>,
}

/// Reconciles of a Recommender that have begun.
#[derive(Clone, Debug, Default)]
struct Reconciles {
    count: usize,
    /// Value of [`TOUCH_ANNOTATION`] in the copy that the last one read.
    touch: String,
}

#[derive(Default)]
struct Recording {
    /// Last known resource version of each object that was written.
    versions: HashMap<String, String>,
    writes: Vec<String>,
    /// Paths that were read.
    reads: BTreeSet<String>,
    /// Lists of Recommenders, oldest first.
    lists: Vec<Bytes>,
    /// Response to all lists of Recommenders, instead of the current one.
    stale_list: Option<Bytes>,
    /// Response to the next list of Recommenders, instead of the current one.
    next_stale_list: Option<Bytes>,
    mangler: Option<WatchMangler>,
    /// Number of faults when lists or events were first changed; `None` while they are passed
    /// through.
    faults_before: Option<usize>,
    /// Resource version of the last event of each watched path before lists or events were changed.
    checkpoints: HashMap<String, String>,
    /// Paths whose next watch begins at their checkpoint.
    rewound: BTreeSet<String>,
    observed_writes: Vec<ObservedWrite>,
    last_read: serde_json::Value,
    fault_after: Option<usize>,
    fault_hook: Option<FaultHook>,
    /// Whether the fault hook has run.
    has_fired: bool,
}

impl Proxy {
    /// Starts a proxy.
    ///
    /// # Errors
    /// No local port is available.
    pub async fn start(client: Client) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on a local port")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let (shared, upstream) = (Arc::clone(&state), client.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (client, state) = (upstream.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let service = service_fn(move |request| forward(client.clone(), Arc::clone(&state), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A connection error means that the operator was killed or the test has ended.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, client, state, serving })
    }

    /// Waits until a reconcile of a Recommender that began after this call has finished.
    ///
    /// Two changes of an annotation trigger two reconciles. The first has finished when the second
    /// reads the Recommender, because reconciles of one object do not overlap.
    ///
    /// # Errors
    /// The Recommender does not exist, or no operator reconciles it.
    pub async fn wait_reconciled(&self, namespace: &str, name: &str) -> Result<()> {
        let path = recommender_path(namespace, name);
        for _ in 0..2 {
            let reconciles = self.state.reconciles.subscribe();
            let count = reconciles.borrow().get(&path).map_or(0, |seen| seen.count);
            let touch = format!("{}-{count}", self.address.port());
            self.touch(&path, &touch).await?;
            wait_for(reconciles, |seen| seen.get(&path).is_some_and(|seen| seen.touch == touch))
                .await
                .with_context(|| format!("no operator reconciled {path}"))?;
        }
        Ok(())
    }

    /// Waits until `count` reconciles of a Recommender that began after this call have finished.
    /// It does not trigger them.
    ///
    /// # Errors
    /// No operator reconciles the Recommender so often.
    pub async fn wait_reconciles(&self, namespace: &str, name: &str, count: usize) -> Result<()> {
        let path = recommender_path(namespace, name);
        let reconciles = self.state.reconciles.subscribe();
        let begun = |seen: &HashMap<String, Reconciles>| seen.get(&path).map_or(0, |seen| seen.count);
        // The last of them has finished when one more begins.
        let expected = begun(&reconciles.borrow()) + count + 1;
        wait_for(reconciles, |seen| begun(seen) >= expected)
            .await
            .with_context(|| format!("no operator reconciled {path} {count} times"))
    }

    async fn touch(&self, path: &str, value: &str) -> Result<()> {
        let change = json!({"metadata": {"annotations": {TOUCH_ANNOTATION: value}}}).to_string();
        let request = Request::patch(path).header(http::header::CONTENT_TYPE, "application/merge-patch+json");
        self.client.request_text(request.body(change.into_bytes())?).await.context("cannot touch the Recommender")?;
        Ok(())
    }

    /// Resets the write count, and runs `hook` after write number `after` (from 1).
    pub fn arm(&self, after: usize, hook: FaultHook) {
        let mut recording = self.state.lock();
        recording.writes.clear();
        recording.has_fired = false;
        recording.fault_after = Some(after);
        recording.fault_hook = Some(hook);
    }

    /// Resets the counts of writes and reads, and removes the fault hook.
    pub fn disarm(&self) {
        let mut recording = self.state.lock();
        recording.writes.clear();
        recording.reads.clear();
        recording.fault_hook = None;
    }

    /// Returns the writes since the last reset that changed an object, as method and path.
    pub fn writes(&self) -> Vec<String> {
        self.state.lock().writes.clone()
    }

    /// Runs the fault hook now, unless it has run or is running. Returns whether it was run.
    pub fn fire(&self) -> bool {
        let hook = self.state.lock().fault_hook.take();
        let is_due = hook.is_some();
        if let Some(hook) = hook {
            self.state.run_fault(&*hook);
        }
        is_due
    }

    /// Returns the number of distinct paths with this suffix that were read since the last
    /// [`Self::disarm`].
    pub fn reads_of(&self, suffix: &str) -> usize {
        self.state.lock().reads.iter().filter(|path| path.ends_with(suffix)).count()
    }

    /// Returns the number of recorded lists of Recommenders.
    pub fn recorded_lists(&self) -> usize {
        self.state.lock().lists.len()
    }

    /// Serves the recorded list `index` to all lists of Recommenders from now on; their watches
    /// deliver no events.
    pub fn serve_stale_list(&self, index: usize) {
        self.state.change(|recording| recording.stale_list = recording.lists.get(index).cloned());
    }

    /// Records the current list of Recommenders, as an operator's own list request would return it.
    ///
    /// # Errors
    /// The API server does not return the list.
    pub async fn record_list(&self, client: &Client, namespace: &str) -> Result<()> {
        let path = format!("/apis/recmesh.dev/v1alpha1/namespaces/{namespace}/recommenders");
        let text = client.request_text(Request::get(path).body(Vec::new())?).await?;
        self.state.lock().lists.push(Bytes::from(text));
        Ok(())
    }

    /// Serves the recorded list `index` to the next list of Recommenders only.
    pub fn serve_stale_list_once(&self, index: usize) {
        self.state.change(|recording| recording.next_stale_list = recording.lists.get(index).cloned());
    }

    /// Transforms all watch events with `mangler` from now on.
    pub fn mangle_watches(&self, mangler: WatchMangler) {
        self.state.change(|recording| recording.mangler = Some(mangler));
    }

    /// Passes lists and watches through unchanged, as soon as the operator has received something
    /// that was changed. Each watch ends, and the next one repeats all events since lists or events
    /// were changed.
    ///
    /// # Errors
    /// The operator received nothing that was changed.
    pub async fn pass_through(&self) -> Result<()> {
        let Some(before) = self.state.lock().faults_before else {
            return Ok(()); // Nothing was changed, so no event needs to be repeated.
        };
        wait_for(self.state.faults.subscribe(), |faults| *faults > before).await.context("no fault occurred")?;
        wait::until("the operator lists the Recommenders", || {
            ensure!(self.state.lock().next_stale_list.is_none(), "no list was requested");
            Ok(())
        })
        .await?;
        let mut recording = self.state.lock();
        recording.faults_before = None;
        (recording.stale_list, recording.mangler) = (None, None);
        recording.rewound = recording.checkpoints.keys().cloned().collect();
        drop(recording);
        self.state.pass_throughs.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Returns the number of stale lists that were served and of watch events that were mangled.
    pub fn faults(&self) -> usize {
        *self.state.faults.borrow()
    }

    /// Returns the creations and deletions since the last call.
    pub fn take_observed_writes(&self) -> Vec<ObservedWrite> {
        std::mem::take(&mut self.state.lock().observed_writes)
    }

    /// Returns whether the fault hook has run.
    pub fn has_fired(&self) -> bool {
        self.state.lock().has_fired
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Recording {
    /// Records the resource version from which a watch continues.
    fn record_checkpoint(&mut self, path: &str, version: &str) {
        let is_complete = self.faults_before.is_none() && !self.rewound.contains(path);
        if is_complete || !self.checkpoints.contains_key(path) {
            self.checkpoints.insert(path.to_owned(), version.to_owned());
        }
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an acknowledged write, and runs the fault hook if it is due.
    fn record_write(&self, method: &Method, path: &str, version: Option<String>) {
        let mut recording = self.lock();
        let object = path.trim_end_matches("/status").to_owned();
        let unchanged =
            method == Method::PATCH && version.is_some() && recording.versions.get(&object) == version.as_ref();
        if let Some(version) = version {
            recording.versions.insert(object, version);
        }
        if unchanged {
            return;
        }
        recording.writes.push(format!("{method} {path}"));
        if recording.fault_after == Some(recording.writes.len())
            && let Some(hook) = recording.fault_hook.take()
        {
            drop(recording);
            self.run_fault(&*hook);
        }
    }

    fn run_fault(&self, hook: &(dyn Fn() + Send + Sync)) {
        hook();
        self.lock().has_fired = true;
    }

    /// Records a read of a Recommender. A read of its metadata alone does not begin a reconcile.
    fn record_recommender_read(&self, path: &str, object: &serde_json::Value) {
        let meta = &object["metadata"];
        let mut annotations = meta["annotations"].as_object().cloned().unwrap_or_default();
        let touch = annotations.remove(TOUCH_ANNOTATION);
        self.lock().last_read = json!([meta["uid"], meta["generation"], meta["deletionTimestamp"], annotations]);
        if object["kind"] == "Recommender" {
            self.reconciles.send_modify(|reconciles| {
                let entry = reconciles.entry(path.to_owned()).or_default();
                entry.count += 1;
                touch.as_ref().and_then(|touch| touch.as_str()).unwrap_or_default().clone_into(&mut entry.touch);
            });
        }
    }

    /// Returns the mangled lines to send for a watch event, each with a delay; `None` if the event
    /// is passed through. Bookmarks are passed through, because they contain no change.
    fn mangle(&self, path: &str, line: &Bytes) -> Option<Vec<(Duration, Bytes)>> {
        if line.starts_with(br#"{"type":"BOOKMARK""#) {
            return None;
        }
        let events = self.lock().mangler.as_mut().map(|mangler| mangler(path, line.clone()))?;
        self.record_fault();
        Some(events)
    }

    /// Returns the URL of a watch. The first watch after a pass-through begins at the checkpoint.
    fn watch_from_checkpoint(&self, url: &Uri) -> Result<Uri> {
        const VERSION: &str = "resourceVersion=";
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let requested = query.split('&').find_map(|pair| pair.strip_prefix(VERSION)).unwrap_or_default();
        let mut recording = self.lock();
        let checkpoint = recording.checkpoints.get(path).cloned();
        let Some(checkpoint) = checkpoint.filter(|_| recording.rewound.remove(path)) else {
            recording.record_checkpoint(path, requested);
            return Ok(url.clone());
        };
        let query = query.replace(&format!("{VERSION}{requested}"), &format!("{VERSION}{checkpoint}"));
        format!("{path}?{query}").parse().context("the URL of a watch is not valid")
    }

    /// Changes what lists and watches return.
    fn change(&self, change: impl FnOnce(&mut Recording)) {
        let faults = *self.faults.borrow();
        let mut recording = self.lock();
        recording.faults_before.get_or_insert(faults);
        change(&mut recording);
    }

    fn record_fault(&self) {
        self.faults.send_modify(|count| *count += 1);
    }

    /// Records the version of an object that was read, so that an apply that changes nothing does
    /// not count as a write.
    fn record_read(&self, path: &str, version: Option<String>) {
        self.lock().reads.insert(path.to_owned());
        if let Some(version) = version {
            self.lock().versions.insert(path.to_owned(), version);
        }
    }
}

/// Waits until a watched value has a property, but no longer than [`wait::TIMEOUT`].
async fn wait_for<T>(mut receiver: watch::Receiver<T>, property: impl FnMut(&T) -> bool) -> Result<()> {
    let found = tokio::time::timeout(wait::TIMEOUT, receiver.wait_for(property)).await.context("timed out")?;
    found.map(drop).context("the proxy has stopped")
}

/// Resource version in the line of a watch event; an error has none.
fn resource_version(line: &[u8]) -> Option<String> {
    let event: serde_json::Value = serde_json::from_slice(line).ok()?;
    event["object"]["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

fn recommender_path(namespace: &str, name: &str) -> String {
    format!("/apis/recmesh.dev/v1alpha1/namespaces/{namespace}/recommenders/{name}")
}

async fn forward(client: Client, state: Arc<State>, request: Request<Incoming>) -> Result<ProxyResponse, Infallible> {
    Ok(try_forward(client, state, request).await.unwrap_or_else(|error| {
        let mut response = Response::new(full_body(Bytes::from(format!("{error:#}"))));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

async fn try_forward(client: Client, state: Arc<State>, request: Request<Incoming>) -> Result<ProxyResponse> {
    let (mut parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let body = body.collect().await?.to_bytes();
    let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch="));
    let stale_list = state.lock().stale_list.clone();
    let is_recommender_list = method == Method::GET && path.ends_with("/recommenders");
    if is_recommender_list
        && !is_watch
        && let Some(list) = state.lock().next_stale_list.take()
    {
        state.record_fault();
        return Ok(json_response(full_body(list)));
    }
    if let Some(list) = stale_list.filter(|_| is_recommender_list) {
        if is_watch {
            return Ok(json_response(empty_watch(&state)));
        }
        state.record_fault();
        return Ok(json_response(full_body(list)));
    }
    if is_watch {
        parts.uri = state.watch_from_checkpoint(&parts.uri)?;
    }
    for hop in [http::header::HOST, http::header::CONNECTION, http::header::ACCEPT_ENCODING] {
        parts.headers.remove(hop);
    }
    let response = client.send(Request::from_parts(parts, Body::from(body))).await?;
    if is_watch && response.status().is_success() {
        return Ok(response.map(|body| mangled_watch(body.map_err(Into::into).boxed_unsync(), path, state)));
    }
    let is_write = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&method);
    let is_object = !path.ends_with("/leases") && !path.contains("/leases/") && !path.contains("/events");
    if !is_object || !response.status().is_success() {
        return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
    }
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    let object: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let version =
        object["metadata"]["resourceVersion"].as_str().filter(|_| object["items"].is_null()).map(str::to_owned);
    if is_write {
        let created = head.status == StatusCode::CREATED;
        if created || method == Method::DELETE {
            let mut recording = state.lock();
            let last_read = recording.last_read.clone();
            recording.observed_writes.push(ObservedWrite { last_read, created, object });
        }
        state.record_write(&method, &path, version);
    } else {
        if path.contains("/recommenders/") {
            state.record_recommender_read(&path, &object);
        }
        state.record_read(&path, version);
    }
    Ok(Response::from_parts(head, full_body(bytes)))
}

fn full_body(bytes: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn json_response(body: UnsyncBoxBody<Bytes, Failure>) -> ProxyResponse {
    let mut response = Response::new(body);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// Returns a watch body without events that ends at the next pass-through.
fn empty_watch(state: &State) -> UnsyncBoxBody<Bytes, Failure> {
    let mut pass_throughs = state.pass_throughs.subscribe();
    let end = stream::once(async move {
        let _ = pass_throughs.changed().await;
    });
    StreamBody::new(end.filter_map(|()| std::future::ready(None::<Result<Frame<Bytes>, Failure>>))).boxed_unsync()
}

/// Returns a watch body with mangled events that ends at the next pass-through.
fn mangled_watch(
    body: UnsyncBoxBody<Bytes, Failure>,
    path: String,
    state: Arc<State>,
) -> UnsyncBoxBody<Bytes, Failure> {
    let (mut sender, receiver) = mpsc::channel(0);
    tokio::spawn(async move {
        let mut pass_throughs = state.pass_throughs.subscribe();
        tokio::select! {
            _ = pass_throughs.changed() => {}
            _ = mangle_events(body, &path, &state, &mut sender) => {}
        }
    });
    StreamBody::new(receiver).boxed_unsync()
}

/// Reads the events of a watch, one per line, and sends them through the mangler.
async fn mangle_events(
    mut body: UnsyncBoxBody<Bytes, Failure>,
    path: &str,
    state: &State,
    sender: &mut mpsc::Sender<Result<Frame<Bytes>, Failure>>,
) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!(error))?;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Bytes = buffer.drain(..=end).collect();
            let Some(events) = state.mangle(path, &line) else {
                let version = resource_version(&line);
                sender.send(Ok(Frame::data(line))).await?;
                if let Some(version) = version {
                    state.lock().record_checkpoint(path, &version);
                }
                continue;
            };
            for (delay, line) in events {
                tokio::time::sleep(delay).await;
                sender.send(Ok(Frame::data(line))).await?;
            }
        }
    }
    Ok(())
}

//! Stands between an operator and the API server, counts the writes that changed something, strikes right after one, and
//! tells the news as it likes.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{SinkExt as _, StreamExt as _, channel::mpsc, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use tokio::{net::TcpListener, task::JoinHandle};

/// What happens right after the chosen write, before its answer is sent on.
pub type Strike = Box<dyn Fn() + Send + Sync>;

/// What becomes of an event of a watch: path and line in, lines and pauses before them out.
pub type Rumours = Box<dyn FnMut(&str, Bytes) -> Vec<(Duration, Bytes)> + Send>;

/// An object that was made or deleted.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What the operator had read last of a Recommender: uid, generation, annotations, and whether it is being deleted.
    pub on: serde_json::Value,
    /// Made, not deleted.
    pub made: bool,
    /// The object as the API server answered with it.
    pub object: serde_json::Value,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;

/// A proxy on a local port, without TLS; it speaks to the API server with the rights of its client.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    counted: Mutex<Counted>,
    /// Grows with each [`Proxy::tell_the_truth`].
    truths: tokio::sync::watch::Sender<usize>,
}

#[derive(Default)]
struct Counted {
    /// Last known resource version of every object that was written.
    versions: HashMap<String, String>,
    writes: Vec<String>,
    /// Paths that were read.
    reads: BTreeSet<String>,
    /// Lists of Recommenders, in the order of time.
    lists: Vec<Bytes>,
    /// What lists of Recommenders are answered with, if not the truth.
    old_news: Option<Bytes>,
    /// What the next list of Recommenders is answered with, if not the truth.
    one_old_list: Option<Bytes>,
    rumours: Option<Rumours>,
    /// Paths whose watch has to begin again, since it was not told the truth, and those that have.
    begun_again: Option<BTreeSet<String>>,
    deeds: Vec<Deed>,
    last_read: serde_json::Value,
    strike_after: Option<usize>,
    strike: Option<Strike>,
}

impl Proxy {
    /// Starts one.
    ///
    /// # Errors
    /// No local port.
    pub async fn start(client: Client) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a local port")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (client, state) = (client.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let service = service_fn(move |request| forward(client.clone(), Arc::clone(&state), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A connection that breaks is the operator's death, or the test's end.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, state, serving })
    }

    /// Counts from zero again, and strikes after the write of this number (from 1).
    pub fn arm(&self, after: usize, strike: Strike) {
        let mut counted = self.state.lock();
        counted.writes.clear();
        counted.strike_after = Some(after);
        counted.strike = Some(strike);
    }

    /// Counts from zero again and never strikes.
    pub fn disarm(&self) {
        let mut counted = self.state.lock();
        counted.writes.clear();
        counted.reads.clear();
        counted.strike = None;
    }

    /// The writes since then that changed something: method and path.
    pub fn writes(&self) -> Vec<String> {
        self.state.lock().writes.clone()
    }

    /// How many paths that end so were read since the last [`Self::disarm`].
    pub fn reads_of(&self, ending: &str) -> usize {
        self.state.lock().reads.iter().filter(|path| path.ends_with(ending)).count()
    }

    /// How many lists of Recommenders have passed, each a moment of the past.
    pub fn moments(&self) -> usize {
        self.state.lock().lists.len()
    }

    /// From now on lists of Recommenders are what they were at this moment, and watches bring nothing.
    pub fn only_old_news(&self, moment: usize) {
        let mut counted = self.state.lock();
        counted.old_news = counted.lists.get(moment).cloned();
    }

    /// Notes the present list of Recommenders as a moment, as an operator's own list would be.
    ///
    /// # Errors
    /// The API server.
    pub async fn note_moment(&self, client: &Client, namespace: &str) -> Result<()> {
        let path = format!("/apis/recmesh.dev/v1alpha1/namespaces/{namespace}/recommenders");
        let text = client.request_text(Request::get(path).body(Vec::new())?).await?;
        self.state.lock().lists.push(Bytes::from(text));
        Ok(())
    }

    /// The next list of Recommenders is what it was at this moment.
    pub fn one_old_list(&self, moment: usize) {
        let mut counted = self.state.lock();
        counted.one_old_list = counted.lists.get(moment).cloned();
    }

    /// From now on watches bring what this makes of their events.
    pub fn only_rumours(&self, rumours: Rumours) {
        self.state.lock().rumours = Some(rumours);
    }

    /// From now on lists and watches are true, and every watch has to begin again with a list: as when the API server cannot
    /// bring a client up to date.
    pub fn tell_the_truth(&self) {
        let mut counted = self.state.lock();
        let told = (counted.old_news.take(), counted.one_old_list.take(), counted.rumours.take());
        if let (None, None, None) = told {
            return; // It was told all along.
        }
        counted.begun_again = Some(BTreeSet::new());
        drop(counted);
        self.state.truths.send_modify(|truths| *truths += 1);
    }

    /// What was made and deleted since the last call.
    pub fn deeds(&self) -> Vec<Deed> {
        std::mem::take(&mut self.state.lock().deeds)
    }

    /// Whether it has struck.
    pub fn has_struck(&self) -> bool {
        let counted = self.state.lock();
        counted.strike_after.is_some() && counted.strike.is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an acknowledged write, and strikes if it is the one.
    fn wrote(&self, method: &Method, path: &str, version: Option<String>) {
        let mut counted = self.lock();
        let object = path.trim_end_matches("/status").to_owned();
        let unchanged =
            method == Method::PATCH && version.is_some() && counted.versions.get(&object) == version.as_ref();
        if let Some(version) = version {
            counted.versions.insert(object, version);
        }
        if unchanged {
            return;
        }
        counted.writes.push(format!("{method} {path}"));
        if counted.strike_after == Some(counted.writes.len())
            && let Some(strike) = counted.strike.take()
        {
            drop(counted);
            strike();
        }
    }

    /// Remembers what is read, so that an apply that changes nothing is no write.
    fn read(&self, path: &str, version: Option<String>) {
        self.lock().reads.insert(path.to_owned());
        if let Some(version) = version {
            self.lock().versions.insert(path.to_owned(), version);
        }
    }
}

/// What the API server says to a watch that it cannot bring up to date.
const EXPIRED: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;

async fn forward(client: Client, state: Arc<State>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(pass(client, state, request).await.unwrap_or_else(|error| {
        let mut answer = Response::new(whole(Bytes::from(format!("{error:#}"))));
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        answer
    }))
}

async fn pass(client: Client, state: Arc<State>, request: Request<Incoming>) -> Result<Answer> {
    let (mut parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let body = body.collect().await?.to_bytes();
    let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch="));
    let old_news = state.lock().old_news.clone();
    let is_list_of_ours = method == Method::GET && path.ends_with("/recommenders");
    if is_list_of_ours
        && !is_watch
        && let Some(list) = state.lock().one_old_list.take()
    {
        return Ok(json(whole(list)));
    }
    if let Some(list) = old_news.filter(|_| is_list_of_ours) {
        return Ok(json(if is_watch { silence(&state) } else { whole(list) }));
    }
    let is_late = |seen: &mut BTreeSet<String>| seen.insert(path.clone());
    if is_watch && state.lock().begun_again.as_mut().is_some_and(is_late) {
        return Ok(json(whole(Bytes::from(format!("{EXPIRED}\n")))));
    }
    for hop in [http::header::HOST, http::header::CONNECTION, http::header::ACCEPT_ENCODING] {
        parts.headers.remove(hop);
    }
    let answer = client.send(Request::from_parts(parts, Body::from(body))).await?;
    if is_watch && answer.status().is_success() {
        return Ok(answer.map(|body| retold(body.map_err(Into::into).boxed_unsync(), path, state)));
    }
    let is_write = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&method);
    let is_object = !path.ends_with("/leases") && !path.contains("/leases/") && !path.contains("/events");
    let watches = answer.headers().get(http::header::CONTENT_LENGTH).is_none() && !is_write;
    if watches || !is_object || !answer.status().is_success() {
        return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
    }
    let (head, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    let object: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let version =
        object["metadata"]["resourceVersion"].as_str().filter(|_| object["items"].is_null()).map(str::to_owned);
    if is_write {
        let made = head.status == StatusCode::CREATED;
        if made || method == Method::DELETE {
            let mut counted = state.lock();
            let on = counted.last_read.clone();
            counted.deeds.push(Deed { on, made, object });
        }
        state.wrote(&method, &path, version);
    } else {
        if path.contains("/recommenders/") {
            let meta = &object["metadata"];
            let parts = ["uid", "generation", "annotations", "deletionTimestamp"].map(|part| meta[part].clone());
            state.lock().last_read = parts.to_vec().into();
        }
        state.read(&path, version);
    }
    Ok(Response::from_parts(head, whole(bytes)))
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn json(body: UnsyncBoxBody<Bytes, Failure>) -> Answer {
    let mut answer = Response::new(body);
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}

/// A body that brings nothing, and ends when the truth is told.
fn silence(state: &State) -> UnsyncBoxBody<Bytes, Failure> {
    let mut truths = state.truths.subscribe();
    let nothing = stream::once(async move {
        let _ = truths.changed().await;
    });
    StreamBody::new(nothing.filter_map(|()| std::future::ready(None::<Result<Frame<Bytes>, Failure>>))).boxed_unsync()
}

/// The events of a watch as the rumours have them; it ends when the truth is told.
fn retold(body: UnsyncBoxBody<Bytes, Failure>, path: String, state: Arc<State>) -> UnsyncBoxBody<Bytes, Failure> {
    let (mut sender, receiver) = mpsc::channel(0);
    tokio::spawn(async move {
        let mut truths = state.truths.subscribe();
        tokio::select! {
            _ = truths.changed() => {}
            _ = retell(body, &path, &state, &mut sender) => {}
        }
    });
    StreamBody::new(receiver).boxed_unsync()
}

/// Reads event by event: one a line.
async fn retell(
    mut body: UnsyncBoxBody<Bytes, Failure>,
    path: &str,
    state: &State,
    sender: &mut mpsc::Sender<Result<Frame<Bytes>, Failure>>,
) -> Result<()> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!(error))?;
        read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            let told = match state.lock().rumours.as_mut() {
                Some(rumours) => rumours(path, Bytes::from(line)),
                None => vec![(Duration::ZERO, Bytes::from(line))],
            };
            for (pause, line) in told {
                tokio::time::sleep(pause).await;
                sender.send(Ok(Frame::data(line))).await?;
            }
        }
    }
    Ok(())
}

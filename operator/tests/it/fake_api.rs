//! API server in memory, as the service below kube's client. It records the requests, and answers
//! chosen ones with an error or not at all. It has lists and watches of a namespace and of all.
//!
//! Of server-side apply it has what the operator relies on: fields are merged, and an apply without
//! changes keeps the resource version.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
};

use futures::{StreamExt as _, channel::mpsc, future::pending};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use kube::{Client, client::Body};
use recommender_operator::api_client::Bounds;
use serde_json::{Value, json};
use tower::Layer as _;

/// API server in memory. Clones share the objects.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Objects by path.
    objects: BTreeMap<String, Value>,
    /// The newest resource version.
    version: u64,
    /// Whether watches deliver nothing.
    is_silent: bool,
    /// All events, in order: for watches that start at an earlier resource version.
    events: Vec<Event>,
    watches: Vec<Watch>,
    /// Requests that are not reads, as method and end of the path.
    writes: Vec<String>,
    /// Reads, except watches, as method and end of the path.
    reads: Vec<String>,
    faults: Vec<Fault>,
    /// Number of requests that get no answer.
    hanging: usize,
}

/// A change of an object.
#[derive(Clone)]
struct Event {
    version: u64,
    path: String,
    kind: &'static str,
    object: Value,
}

/// A watch of a collection.
struct Watch {
    collection: String,
    selector: String,
    events: mpsc::UnboundedSender<Bytes>,
}

/// A request that fails or gets no answer.
struct Fault {
    method: Method,
    /// End of the path.
    suffix: String,
    /// `None`: the request gets no answer.
    code: Option<u16>,
    /// Message of the answer; a default one if it is empty.
    message: String,
}

/// What a request is answered with.
enum Answer {
    Object(Value),
    Code(u16),
    Failure(u16, String),
    Watch(mpsc::UnboundedReceiver<Bytes>),
    Nothing,
}

impl FakeApi {
    /// Client of this server.
    pub fn client(&self) -> Client {
        let state = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let state = state.clone();
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        Client::new(Bounds.layer(service), "default")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Answers requests with this method and end of the path with an error from now on.
    pub fn fail(&self, method: Method, suffix: &str, code: u16) {
        self.fail_with(method, suffix, code, "");
    }

    /// [`Self::fail`] with this message.
    pub fn fail_with(&self, method: Method, suffix: &str, code: u16, message: &str) {
        let (suffix, message) = (suffix.to_owned(), message.to_owned());
        self.state().faults.push(Fault { method, suffix, code: Some(code), message });
    }

    /// Does not answer requests with this method and end of the path from now on.
    pub fn hang(&self, method: Method, suffix: &str) {
        self.state().faults.push(Fault { method, suffix: suffix.to_owned(), code: None, message: String::new() });
    }

    /// Number of requests that got no answer.
    pub fn hanging(&self) -> usize {
        self.state().hanging
    }

    /// Sets whether watches miss the changes from now on.
    pub fn silence(&self, is_silent: bool) {
        self.state().is_silent = is_silent;
    }

    /// Ends all faults.
    pub fn recover(&self) {
        self.state().faults.clear();
    }

    /// The object at a path; null if there is none.
    pub fn get(&self, path: &str) -> Value {
        self.state().objects.get(path).cloned().unwrap_or_default()
    }

    /// Creates or replaces an object, as another client does.
    pub fn put(&self, path: &str, object: Value) {
        self.state().store(path, object);
    }

    /// Deletes an object; one with finalizers is only marked.
    pub fn delete(&self, path: &str) {
        self.state().delete(path);
    }

    /// Paths that contain `part`.
    pub fn paths(&self, part: &str) -> Vec<String> {
        self.state().objects.keys().filter(|path| path.contains(part)).cloned().collect()
    }

    /// The writes since the last call, without Events.
    pub fn take_writes(&self) -> Vec<String> {
        let writes = std::mem::take(&mut self.state().writes);
        writes.into_iter().filter(|write| !write.contains(" events")).collect()
    }

    /// The reads since the last call, without watches.
    pub fn take_reads(&self) -> Vec<String> {
        std::mem::take(&mut self.state().reads)
    }

    /// The recorded Events, in the order of their creation.
    pub fn events(&self) -> Vec<Value> {
        let state = self.state();
        let events = state.objects.iter().filter(|(path, _)| path.contains("/events/"));
        let mut events: Vec<Value> = events.map(|(_, event)| event.clone()).collect();
        events.sort_by_key(|event| event["metadata"]["uid"].as_str().unwrap()["uid-".len()..].parse::<u64>().unwrap());
        events
    }

    async fn answer(&self, request: Request<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let kind = parts.headers.get(http::header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let query = parts.uri.query().unwrap_or_default();
        let answer = self.state().answer(&parts.method, parts.uri.path(), query, kind.as_deref(), body);
        let (code, object) = match answer {
            Answer::Object(object) => (200, object),
            Answer::Code(code) => (code, status(code)),
            Answer::Failure(code, message) => {
                let mut status = status(code);
                status["message"] = json!(message);
                (code, status)
            }
            Answer::Watch(events) => {
                return Response::new(StreamBody::new(events.map(|event| Ok(Frame::data(event)))).boxed_unsync());
            }
            Answer::Nothing => pending().await,
        };
        let mut response = Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, content_type: Option<&str>, body: Value) -> Answer {
        let named = |body: &Value| format!("{path}/{}", text(&body["metadata"]["name"]));
        let target = if *method == Method::POST { named(&body) } else { path.to_owned() };
        let is_watch = parameter(query, "watch") == "true";
        if !is_watch {
            let requests = if *method == Method::GET { &mut self.reads } else { &mut self.writes };
            requests.push(format!("{method} {}", short(&target)));
        }
        if let Some(fault) = self.faults.iter().find(|f| f.method == *method && target.ends_with(&f.suffix)) {
            let answer = match (fault.code, fault.message.as_str()) {
                (None, _) => Answer::Nothing,
                (Some(code), "") => Answer::Code(code),
                (Some(code), message) => Answer::Failure(code, message.to_owned()),
            };
            self.hanging += usize::from(matches!(answer, Answer::Nothing));
            return answer;
        }
        if is_watch {
            return Answer::Watch(self.watch(path, query));
        }
        self.object(method, path, query, content_type, body).map_or_else(Answer::Code, Answer::Object)
    }

    fn object(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        content_type: Option<&str>,
        body: Value,
    ) -> Result<Value, u16> {
        let target = format!("{path}/{}", text(&body["metadata"]["name"]));
        match method.as_str() {
            "GET" if is_collection(path) => Ok(self.list(path, query)),
            "GET" => self.objects.get(path).cloned().ok_or(404),
            "POST" if self.objects.contains_key(&target) => Err(409),
            "POST" => Ok(self.store(&target, body)),
            "PUT" => {
                self.check_version(path, &body)?;
                Ok(self.store(path, body))
            }
            "PATCH" => self.patch(path, query, content_type.unwrap_or_default(), body),
            "DELETE" => self.delete(path).ok_or(404),
            _ => Err(405),
        }
    }

    /// Starts a watch with the events since its resource version.
    fn watch(&mut self, path: &str, query: &str) -> mpsc::UnboundedReceiver<Bytes> {
        let (events, receiver) = mpsc::unbounded();
        let watch = Watch { collection: path.to_owned(), selector: parameter(query, "labelSelector"), events };
        let since: u64 = parameter(query, "resourceVersion").parse().unwrap_or(0);
        for event in self.events.iter().filter(|event| event.version > since) {
            watch.send(event);
        }
        self.watches.push(watch);
        receiver
    }

    fn notify(&mut self, path: &str, kind: &'static str, object: &Value) {
        let event = Event { version: self.version, path: path.to_owned(), kind, object: object.clone() };
        if self.is_silent {
            return;
        }
        self.watches.retain(|watch| !watch.events.is_closed());
        for watch in &self.watches {
            watch.send(&event);
        }
        self.events.push(event);
    }

    fn list(&self, path: &str, query: &str) -> Value {
        let selector = parameter(query, "labelSelector");
        let items = self
            .objects
            .iter()
            .filter(|(object_path, object)| collection_contains(path, object_path) && is_selected(&selector, object));
        let mut items: Vec<&Value> = items.map(|(_, object)| object).collect();
        // The token of a page is the number of objects before it.
        let begin: usize = parameter(query, "continue").parse().unwrap_or(0);
        let end = begin + parameter(query, "limit").parse().unwrap_or(usize::MAX - begin);
        let next = (end < items.len()).then(|| end.to_string());
        items = items.into_iter().take(end).skip(begin).collect();
        let metadata = json!({"resourceVersion": self.version.max(1).to_string(), "continue": next});
        json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})
    }

    fn patch(&mut self, path: &str, query: &str, content_type: &str, body: Value) -> Result<Value, u16> {
        match content_type {
            "application/apply-patch+yaml" => {
                // Otherwise a field that the API server does not know is dropped silently.
                assert_eq!(parameter(query, "fieldValidation"), "Strict", "{path}");
                let mut object = self.objects.get(path).cloned().unwrap_or_else(|| json!({}));
                merge(&mut object, body);
                Ok(self.store(path, object))
            }
            "application/merge-patch+json" => {
                self.check_version(path, &body)?;
                let mut object = self.objects.get(path).cloned().ok_or(404_u16)?;
                merge(&mut object, body);
                Ok(self.store(path, object))
            }
            "application/json-patch+json" => {
                let path = path.strip_suffix("/status").ok_or(405_u16)?;
                let mut object = self.objects.get(path).cloned().ok_or(404_u16)?;
                for operation in body.as_array().unwrap() {
                    let (pointer, value) = (operation["path"].as_str().unwrap(), &operation["value"]);
                    match operation["op"].as_str().unwrap() {
                        "test" if object.pointer(pointer) != Some(value) => return Err(422),
                        "test" => {}
                        "add" => object[pointer.trim_start_matches('/')] = value.clone(),
                        other => panic!("{other} is not mocked"),
                    }
                }
                Ok(self.store(path, object))
            }
            _ => Err(415),
        }
    }

    /// Fails if the object has another resource version than the one in `body`.
    fn check_version(&self, path: &str, body: &Value) -> Result<(), u16> {
        let (found, given) = (self.objects.get(path).ok_or(404_u16)?, &body["metadata"]["resourceVersion"]);
        if given.is_null() || found["metadata"]["resourceVersion"] == *given { Ok(()) } else { Err(409) }
    }

    /// Stores an object. An unchanged one keeps its resource version; a changed spec has a new
    /// generation. A deleted object disappears with its last finalizer.
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        let before = self.objects.get(path).cloned();
        if let Some(before) = &before {
            object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if object == *before {
                return object;
            }
        }
        self.version += 1;
        let generation = before.as_ref().and_then(|before| before["metadata"]["generation"].as_i64()).unwrap_or(0);
        let same_spec = before.as_ref().is_some_and(|before| before["spec"] == object["spec"]);
        let meta = &mut object["metadata"];
        meta["generation"] = json!(if same_spec { generation } else { generation + 1 });
        meta["resourceVersion"] = json!(self.version.to_string());
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", self.version));
        }
        let is_gone = !meta["deletionTimestamp"].is_null() && meta["finalizers"].as_array().is_none_or(Vec::is_empty);
        if is_gone {
            self.objects.remove(path);
            self.notify(path, "DELETED", &object);
        } else {
            self.objects.insert(path.to_owned(), object.clone());
            self.notify(path, if before.is_some() { "MODIFIED" } else { "ADDED" }, &object);
        }
        object
    }

    fn delete(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.get(path).cloned()?;
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        Some(self.store(path, object))
    }
}

/// Merges `patch` as RFC 7386 specifies.
fn merge(object: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(&name);
        } else {
            merge(&mut object[&name], value);
        }
    }
}

impl Watch {
    fn send(&self, event: &Event) {
        if collection_contains(&self.collection, &event.path) && is_selected(&self.selector, &event.object) {
            let line = format!("{}\n", json!({"type": event.kind, "object": event.object}));
            // The watch may have been closed.
            let _ = self.events.unbounded_send(Bytes::from(line));
        }
    }
}

/// Value of a parameter of a query; empty if it is absent.
fn parameter(query: &str, name: &str) -> String {
    let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().replace("%2F", "/").replace("%3D", "=").replace("%2C", ",").replace("%21", "!")
}

/// Whether a label selector selects an object: each part is `label=value`, a label that exists, or
/// with an exclamation mark one that does not.
fn is_selected(selector: &str, object: &Value) -> bool {
    selector.split(',').filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((label, value)) => object["metadata"]["labels"][label] == value,
        None => match part.strip_prefix('!') {
            Some(label) => object["metadata"]["labels"][label].is_null(),
            None => !object["metadata"]["labels"][part].is_null(),
        },
    })
}

/// Whether a path is that of a collection: `/api/v1/<plural>` has three parts,
/// `/api/v1/namespaces/<namespace>/<plural>` five; the path of a group has one more.
fn is_collection(path: &str) -> bool {
    let parts = path.trim_start_matches('/').split('/').count();
    let group = usize::from(!path.starts_with("/api/"));
    parts == 3 + group || parts == 5 + group
}

/// Whether an object belongs to a collection of its namespace or of all.
fn collection_contains(collection: &str, path: &str) -> bool {
    let Some((of_namespace, _)) = path.rsplit_once('/') else { return false };
    let Some((prefix, rest)) = of_namespace.split_once("/namespaces/") else { return false };
    let plural = rest.rsplit('/').next().unwrap_or_default();
    collection == of_namespace || collection == format!("{prefix}/{plural}")
}

/// The path without group, version and namespace.
fn short(path: &str) -> &str {
    path.split("/namespaces/").nth(1).and_then(|rest| rest.split_once('/')).map_or(path, |(_, rest)| rest)
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": match code {
            // As the API server reports a failed test of a JSON patch.
            422 => "testing value /metadata/resourceVersion failed".to_owned(),
            code => format!("scripted answer {code}"),
        },
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

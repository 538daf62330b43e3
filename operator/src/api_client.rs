//! Client of the API server in which every request has a deadline and every response a bound in
//! bytes. A watch is a response without an end: only its beginning has a deadline, and the watcher
//! limits its duration. No response has managed fields, except the metadata of a Secret.

mod managed_fields;
mod pages;

pub use self::pages::{OBJECTS_PER_PAGE, for_each_object, paged_watch};

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, Request, Response, Uri, header::ACCEPT, request::Parts};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tokio::{sync::Mutex, time::timeout};
use tower::{BoxError, Layer, Service};

use self::{managed_fields::ManagedFieldsFilter, pages::smaller};

/// Deadline of a request, until its response is complete. It leaves time for an admission webhook,
/// whose deadline is 30 s at most, so that the API server names it.
pub const DEADLINE: Duration = Duration::from_secs(35);
/// Max bytes of a response without managed fields. A page of a list that is larger is requested
/// again with fewer objects; otherwise one user with large objects could make every list of all
/// namespaces fail. It limits the memory that a list takes, which is some times this.
pub const RESPONSE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Max bytes of an object: what etcd accepts by default.
const OBJECT_BYTES_MAX: usize = 3 << 19;
/// Max bytes of JSON for a byte of an object: a control character is six.
const JSON_EXPANSION_MAX: usize = 6;
const _: () = assert!(OBJECT_BYTES_MAX * JSON_EXPANSION_MAX < RESPONSE_BYTES_MAX);

/// Connects to the API server of the cluster, or of the kubeconfig.
///
/// # Errors
/// Fails if there is no valid configuration.
pub async fn connect() -> anyhow::Result<Client> {
    let config = Config::infer().await.context("cannot find the API server")?;
    let builder = ClientBuilder::try_from(config).context("cannot build a Kubernetes client")?;
    Ok(builder.with_layer(&Bounds).build())
}

/// Adds the deadline and the bound to a service.
#[derive(Clone, Copy, Debug)]
pub struct Bounds;

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, service: S) -> Bounded<S> {
        Bounded(Arc::new(Mutex::new(service)))
    }
}

/// A service with the deadline and the bound.
#[derive(Debug)]
pub struct Bounded<S>(Arc<Mutex<S>>);

impl<S, B> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Each request waits for the service below, because a page can take several.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answered = answer(Arc::clone(&self.0), request);
        async { timeout(DEADLINE, answered).await.unwrap_or_else(|_| Err(unanswered())) }.boxed()
    }
}

/// Sends a request; one for a page again for smaller pages while the page is too large. The list
/// then continues after the smaller page.
async fn answer<S, B>(
    service: Arc<Mutex<S>>,
    request: Request<Body>,
) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut again, body) = request.into_parts();
    let mut request = Request::from_parts(again.clone(), body);
    loop {
        let sent = {
            let mut service = service.lock().await;
            if let Err(error) = poll_fn(|context| service.poll_ready(context)).await {
                return Err(error.into());
            }
            service.call(request)
        };
        let (parts, body) = match sent.await {
            Ok(response) => response.into_parts(),
            Err(error) => return Err(error.into()),
        };
        let mut filter = (!is_metadata_of_secret(&again)).then(ManagedFieldsFilter::default);
        let body = body.map_frame(move |frame| {
            frame.map_data(|bytes| match &mut filter {
                Some(filter) => Bytes::from(filter.filter(&bytes)),
                None => bytes,
            })
        });
        if is_watch(&again.uri) {
            return Ok(Response::from_parts(parts, body.map_err(Into::into).boxed_unsync()));
        }
        let error = match Limited::new(body, RESPONSE_BYTES_MAX).collect().await {
            Ok(body) => {
                let body = Full::new(body.to_bytes()).map_err(|never| match never {}).boxed_unsync();
                return Ok(Response::from_parts(parts, body));
            }
            Err(error) => error,
        };
        let page = (again.method == Method::GET && error.is::<LengthLimitError>()).then(|| smaller(&again.uri));
        let Some(page) = page.flatten() else { return Err(error) };
        again.uri = page;
        request = Request::from_parts(again.clone(), Body::empty());
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"))
}

/// Whether a request is for the metadata of a Secret: its managed fields state when its data was
/// written.
fn is_metadata_of_secret(request: &Parts) -> bool {
    let accepted = request.headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let in_namespace = request.uri.path().split_once("/api/v1/namespaces/").map(|(_, path)| path);
    in_namespace.and_then(|path| path.split('/').nth(1)) == Some("secrets")
        && accepted.is_some_and(|accepted| accepted.contains("as=PartialObjectMetadata;"))
}

fn unanswered() -> BoxError {
    format!("the API server did not answer within {} s", DEADLINE.as_secs()).into()
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{pending, ready},
    };

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{ListParams, WatchParams},
    };
    use serde_json::{Value, json};

    use super::*;

    type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

    fn config_maps<F>(answer: impl Fn() -> F + Send + 'static) -> Api<ConfigMap>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let service = tower::service_fn(move |_: Request<Body>| {
            let answer = answer();
            async move { Ok::<_, Infallible>(answer.await) }
        });
        Api::namespaced(Client::new(Bounds.layer(service), "default"), "shop")
    }

    async fn list_error(api: &Api<ConfigMap>) -> String {
        crate::error::chain(&api.list(&ListParams::default()).await.unwrap_err())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_ends_at_its_deadline() {
        let begin = tokio::time::Instant::now();
        let error = list_error(&config_maps(pending)).await;
        assert!(error.contains("did not answer within 35 s"), "{error}");
        assert_eq!(begin.elapsed().as_secs(), DEADLINE.as_secs());
        // An answer that begins, and does not go on.
        let stalled = || async { Response::new(StreamBody::new(stream::pending()).boxed_unsync()) };
        assert!(list_error(&config_maps(stalled)).await.contains("did not answer"));
    }

    #[tokio::test]
    async fn a_response_beyond_the_bound_is_cut() {
        let endless = || async {
            let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
            let chunks = stream::repeat_with(move || Ok(Frame::data(chunk.clone())));
            Response::new(StreamBody::new(chunks).boxed_unsync())
        };
        let error = list_error(&config_maps(endless)).await;
        assert!(error.contains("length limit exceeded"), "{error}");
    }

    /// An object whose managed fields another client wrote, and a time that the parser does not
    /// accept: the largest is 9999-12-30T22:00:00.
    fn odd(kind: &str) -> Value {
        let entry = json!({
            "manager": "other", "operation": "Update", "apiVersion": "v1", "time": "9999-12-31T23:59:59Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}},
        });
        json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {"name": "odd", "namespace": "shop", "resourceVersion": "7", "managedFields": [entry]},
        })
    }

    /// Responds with these chunks.
    fn chunked(chunks: Vec<Bytes>) -> Answer {
        let chunks = stream::iter(chunks.into_iter().map(|chunk| Ok(Frame::data(chunk))));
        Response::new(StreamBody::new(chunks).boxed_unsync())
    }

    #[tokio::test]
    async fn no_time_in_managed_fields_makes_a_list_or_a_watch_fail() {
        let list =
            json!({"metadata": {"resourceVersion": "7"}, "items": [odd("ConfigMap"), odd("ConfigMap")]}).to_string();
        let event = format!("{}\n", json!({"type": "ADDED", "object": odd("ConfigMap")}));
        for size in [1, 10, 10_000] {
            let chunks = |text: &str| text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect::<Vec<_>>();
            let (listed, watched) = (chunks(&list), chunks(&event));
            let api = config_maps(move || ready(chunked(listed.clone())));
            assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 2);
            let api = config_maps(move || ready(chunked(watched.clone())));
            let mut events = Box::pin(api.watch(&WatchParams::default(), "1").await.unwrap());
            let event = futures::TryStreamExt::try_next(&mut events).await.unwrap();
            assert!(matches!(event, Some(kube::core::WatchEvent::Added(map)) if map.metadata.managed_fields.is_none()));
        }
    }

    #[tokio::test]
    async fn the_managed_fields_in_the_metadata_of_a_secret_alone_remain() {
        for (path, remain) in [
            ("/api/v1/namespaces/shop/secrets/a", true),
            ("/base/api/v1/namespaces/shop/secrets/a", true),
            ("/api/v1/namespaces/shop/secrets/whole", false),
            ("/api/v1/namespaces/shop/configmaps/a", false),
            ("/api/v1/namespaces/secrets/pods/a", false),
            ("/apis/batch/v1/namespaces/secrets/jobs", false),
            ("/apis/recmesh.dev/v1alpha1/namespaces/shop/secrets/a", false),
        ] {
            let service = tower::service_fn(|_: Request<Body>| async {
                Ok::<_, Infallible>(chunked(vec![Bytes::from(odd("Secret").to_string())]))
            });
            let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
            let accepted = if path.ends_with("/whole") { "application/json" } else { metadata };
            let request = Request::get(path).header(ACCEPT, accepted).body(Body::empty()).unwrap();
            let response = Bounds.layer(service).call(request).await.unwrap();
            let object: Value =
                serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
            assert_eq!(object["metadata"]["managedFields"].is_array(), remain, "{path}");
            assert_eq!(object["metadata"]["name"], "odd");
        }
    }

    /// Bytes of an object of which two are larger than a response may be.
    const LARGE: usize = RESPONSE_BYTES_MAX / 5 * 3;

    /// A server with two objects, each with this many bytes of data and of managed fields.
    fn two_objects(data: usize, managed: usize) -> Api<ConfigMap> {
        let page = move |request: &Request<Body>| {
            let parameter = |name: &str| {
                let query = request.uri().query().unwrap_or_default();
                query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse::<usize>().ok())
            };
            let (begin, limit) = (parameter("continue").unwrap_or(0), parameter("limit").unwrap_or(2));
            let end = (begin + limit).min(2);
            let object = |index: usize| {
                let (name, managed) = (index.to_string(), " ".repeat(managed));
                json!({"metadata": {"name": name, "managedFields": managed}, "data": {"a": " ".repeat(data)}})
            };
            let next = if end < 2 { end.to_string() } else { String::new() };
            let items: Vec<Value> = (begin..end).map(object).collect();
            Bytes::from(json!({"metadata": {"resourceVersion": "7", "continue": next}, "items": items}).to_string())
        };
        let service = tower::service_fn(move |request: Request<Body>| {
            let page = page(&request);
            async move { Ok::<_, Infallible>(chunked(vec![page])) }
        });
        Api::namespaced(Client::new(Bounds.layer(service), "default"), "shop")
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_read_as_smaller_pages() {
        let api = two_objects(LARGE, 0);
        let mut names = Vec::new();
        let take = |map: ConfigMap| {
            names.extend(map.metadata.name);
            Ok(())
        };
        for_each_object(&api, ListParams::default(), "", take).await.unwrap();
        assert_eq!(names, ["0", "1"]);
        // A list that does not ask for pages is not divided.
        assert!(list_error(&api).await.contains("length limit exceeded"));
    }

    #[tokio::test]
    async fn managed_fields_do_not_count() {
        assert_eq!(two_objects(0, LARGE).list(&ListParams::default()).await.unwrap().items.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_outlives_the_deadline_of_its_beginning() {
        let quiet = || async { Response::new(StreamBody::new(stream::pending()).boxed_unsync()) };
        let api = config_maps(quiet);
        let events = api.watch(&WatchParams::default(), "1").await.unwrap();
        let next = timeout(10 * DEADLINE, futures::TryStreamExt::try_next(&mut Box::pin(events))).await;
        assert!(next.is_err(), "the watch waits");
    }
}

//! Client of the API server in which every request has a deadline and every response a bound in
//! bytes. A watch is a response without an end: only its beginning has a deadline, and the watcher
//! limits its duration.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited, combinators::UnsyncBoxBody};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    runtime::watcher,
};
use tokio::time::timeout;
use tower::{BoxError, Layer, Service};

/// Deadline of a request, until its response is complete. It leaves time for an admission webhook,
/// whose deadline is 30 s at most, so that the API server names it.
pub const DEADLINE: Duration = Duration::from_secs(35);
/// Max bytes of a response. The largest one is a page of objects.
pub const RESPONSE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Objects in a page of a list. A page of the largest objects is within the bound of a response;
/// otherwise one user with large annotations could make every list of all namespaces fail.
pub const OBJECTS_PER_PAGE: u32 = 20;
/// Max bytes of an object: what etcd accepts by default.
const OBJECT_BYTES_MAX: usize = 3 << 19;
const _: () = assert!(OBJECTS_PER_PAGE as usize * OBJECT_BYTES_MAX < RESPONSE_BYTES_MAX);

/// Config of a watch whose lists have pages of [`OBJECTS_PER_PAGE`].
pub fn paged_watch() -> watcher::Config {
    watcher::Config::default().page_size(OBJECTS_PER_PAGE)
}

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
        Bounded(service)
    }
}

/// A service with the deadline and the bound.
#[derive(Clone, Debug)]
pub struct Bounded<S>(S);

impl<S, B> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let response = self.0.call(request);
        let answered = async move {
            let (parts, body) = response.await.map_err(Into::into)?.into_parts();
            let body = if is_watch {
                body.map_err(Into::into).boxed_unsync()
            } else {
                let bytes = Limited::new(body, RESPONSE_BYTES_MAX).collect().await?.to_bytes();
                Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
            };
            Ok(Response::from_parts(parts, body))
        };
        async { timeout(DEADLINE, answered).await.unwrap_or_else(|_| Err(unanswered())) }.boxed()
    }
}

fn unanswered() -> BoxError {
    format!("the API server did not answer within {} s", DEADLINE.as_secs()).into()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{ListParams, WatchParams},
    };

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

    #[tokio::test(start_paused = true)]
    async fn a_watch_outlives_the_deadline_of_its_beginning() {
        let quiet = || async { Response::new(StreamBody::new(stream::pending()).boxed_unsync()) };
        let api = config_maps(quiet);
        let events = api.watch(&WatchParams::default(), "1").await.unwrap();
        let next = timeout(10 * DEADLINE, futures::TryStreamExt::try_next(&mut Box::pin(events))).await;
        assert!(next.is_err(), "the watch waits");
    }
}

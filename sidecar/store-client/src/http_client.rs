//! The HTTP client of all stores: certificate authorities and proxy of its transport, and timeouts.
//! For a process that reads the stores of many users, responses and their number are bounded, and
//! redirects are not followed.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
};

use crate::{limits, transport::Transport};

/// Bounds of the requests of one opened store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Max bytes of a response.
    pub response_bytes_max: usize,
    /// Max requests, retries included. A listing has a request for each page.
    pub requests_max: usize,
}

/// A bound that a store exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// A response is too large.
    #[error("a response has more than {0} bytes")]
    ResponseBytes(usize),
    /// The operation needs too many requests.
    #[error("the operation needs more than {0} requests")]
    Requests(usize),
}

impl Exceeded {
    /// The exceeded bound among the causes of an error.
    pub(crate) fn among(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| (*error).source());
        causes.find_map(|cause| cause.downcast_ref::<Self>()).copied()
    }
}

/// Makes HTTP clients. They share the number of requests.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    transport: Transport,
    bounds: Option<Bounds>,
    requests: Arc<AtomicUsize>,
}

impl Connector {
    pub(crate) fn new(transport: Transport, bounds: Option<Bounds>) -> Self {
        Self { transport, bounds, requests: Arc::default() }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let is_set = |key: ClientConfigKey| options.get_config_value(&key).as_deref() == Some("true");
        let mut builder = self
            .transport
            .client()
            .http1_only()
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .read_timeout(limits::READ_TIMEOUT)
            .pool_max_idle_per_host(limits::IDLE_CONNECTIONS_MAX)
            .default_headers(options.get_default_headers().cloned().unwrap_or_default())
            .https_only(!is_set(ClientConfigKey::AllowHttp));
        if is_set(ClientConfigKey::NoSystemCertificates) {
            builder = builder.tls_certs_only([]);
        }
        if self.bounds.is_some() {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        let client = builder
            .build()
            .map_err(|source| object_store::Error::Generic { store: "HTTP client", source: Box::new(source) })?;
        Ok(match self.bounds {
            None => HttpClient::new(client),
            Some(bounds) => HttpClient::new(BoundedClient { client, bounds, requests: Arc::clone(&self.requests) }),
        })
    }
}

#[derive(Debug)]
struct BoundedClient {
    client: reqwest::Client,
    bounds: Bounds,
    requests: Arc<AtomicUsize>,
}

#[async_trait]
impl HttpService for BoundedClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Bounds { response_bytes_max, requests_max } = self.bounds;
        if self.requests.fetch_add(1, Ordering::Relaxed) >= requests_max {
            return Err(refused(Exceeded::Requests(requests_max)));
        }
        let (parts, body) = self.client.call(request).await?.into_parts();
        let body = Limited::new(body, response_bytes_max).map_err(move |error| match error.downcast::<HttpError>() {
            Ok(error) => *error,
            Err(error) if error.is::<LengthLimitError>() => refused(Exceeded::ResponseBytes(response_bytes_max)),
            Err(error) => HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(error)),
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// An error of a kind that is not retried.
fn refused(exceeded: Exceeded) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, exceeded)
}

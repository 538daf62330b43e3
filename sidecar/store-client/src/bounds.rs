//! HTTP client with bounds, for a process that reads the stores of many users: a response, the
//! number of responses and the time to connect are limited, and redirects are not followed.

use std::{
    error::Error,
    fmt,
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

use crate::limits;

/// Bounds of the requests of one opened store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Max bytes of a response.
    pub response_bytes_max: usize,
    /// Max requests, retries included. A listing has a request for each page.
    pub requests_max: usize,
    /// Which proxies are used.
    pub proxies: Proxies,
}

/// Which proxies are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// None: the store is in the cluster.
    None,
    /// Those of the environment variables.
    Environment,
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

/// Makes HTTP clients that keep to the bounds. Its clients share the number of requests.
#[derive(Clone, Debug)]
pub(crate) struct BoundedConnector {
    bounds: Bounds,
    requests: Arc<AtomicUsize>,
}

impl BoundedConnector {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, requests: Arc::default() }
    }
}

impl HttpConnector for BoundedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let is_set = |key: ClientConfigKey| options.get_config_value(&key).as_deref() == Some("true");
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .read_timeout(limits::READ_TIMEOUT)
            .pool_max_idle_per_host(limits::IDLE_CONNECTIONS_MAX)
            .default_headers(options.get_default_headers().cloned().unwrap_or_default())
            .https_only(!is_set(ClientConfigKey::AllowHttp));
        if is_set(ClientConfigKey::NoSystemCertificates) {
            builder = builder.tls_certs_only([]);
        }
        if self.bounds.proxies == Proxies::None {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|source| object_store::Error::Generic { store: "HTTP client", source: Box::new(source) })?;
        Ok(HttpClient::new(BoundedClient { client, connector: self.clone() }))
    }
}

struct BoundedClient {
    client: reqwest::Client,
    connector: BoundedConnector,
}

impl fmt::Debug for BoundedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedClient").field("connector", &self.connector).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for BoundedClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Bounds { response_bytes_max, requests_max, .. } = self.connector.bounds;
        if self.connector.requests.fetch_add(1, Ordering::Relaxed) >= requests_max {
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

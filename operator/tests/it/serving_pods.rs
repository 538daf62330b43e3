//! Admin ports of serving pods: one local HTTP proxy answers for all addresses.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// Reports of the pods by IP address.
#[derive(Clone, Default)]
pub struct ServingPods(Arc<Mutex<BTreeMap<String, Value>>>);

impl ServingPods {
    /// Sets the report of the pod with this address.
    pub fn report(&self, ip: &str, report: Value) {
        self.0.lock().unwrap().insert(ip.to_owned(), report);
    }

    /// Starts the proxy on a local port.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reports = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reports = reports.clone();
                tokio::spawn(async move {
                    let service =
                        service_fn(move |request| std::future::ready(Ok::<_, Infallible>(reports.answer(&request))));
                    // A connection error fails the request of the test.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        address
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let report = request.uri().host().and_then(|ip| self.0.lock().unwrap().get(ip).cloned());
        let mut response = Response::new(Full::new(Bytes::from(report.clone().unwrap_or_default().to_string())));
        if report.is_none() {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        response
    }
}

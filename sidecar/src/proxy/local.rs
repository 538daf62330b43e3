//! Local mode: the sidecar's own copy of the model. It follows the serving config as a serving pod
//! does, and answers on its own threads.

use std::sync::Arc;

use answering::RequestId;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, request};
use http_body_util::Full;
use mesh::TIMEOUT_HEADER;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::metrics::LocalMetrics;
use crate::{
    admin::Report,
    api::{body::Budget, endpoints::Endpoints, route::Route},
    cpus::available_cpus,
    engine::{Engine, measure_io_delay},
    follower::{Follower, Paths},
    limits::{CACHE_BYTES_DEFAULT, PROXY_THREADS_MAX},
};

/// The copy of the model, once it is loaded.
#[derive(Debug)]
pub struct LocalModel {
    engine: Arc<Engine>,
    endpoints: Endpoints,
}

impl LocalModel {
    /// Follows the serving config in a task until `stop` turns true. Bodies and answers share the
    /// budget of those that are forwarded.
    pub fn follow(
        paths: Paths,
        metrics: Arc<LocalMetrics>,
        budget: Arc<Budget>,
        stop: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        store_client::install_tls_provider();
        let engine = Arc::new(Engine::new(available_cpus().min(PROXY_THREADS_MAX), CACHE_BYTES_DEFAULT));
        measure_io_delay(&Arc::downgrade(&engine));
        // The report is for the operator, which reads serving pods only.
        let follower = Follower::new(paths, Arc::clone(&engine), metrics, Arc::<Report>::default());
        tasks.spawn(follower.run(stop));
        Self { endpoints: Endpoints::new(Arc::clone(&engine), budget), engine }
    }

    /// The response of the own copy to a request that waits until `deadline`. `None` if there is no
    /// copy yet, or if it cannot answer now, for example because too many requests wait.
    pub async fn answer(
        &self,
        route: Option<Route>,
        head: &request::Parts,
        body: Bytes,
        id: &RequestId,
        deadline: Instant,
    ) -> Option<Response<Full<Bytes>>> {
        if !self.engine.serving().is_ready() {
            return None;
        }
        let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
        let mut request = Request::from_parts(head.clone(), Full::new(body));
        request.headers_mut().insert(TIMEOUT_HEADER, HeaderValue::from_str(&left.to_string()).ok()?);
        match self.endpoints.answer(route, request, id).await {
            Ok(answered) => Some(answered.into_response()),
            Err(error) if error.status.is_server_error() => None,
            Err(error) => Some(error.into_response(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use answering::{AnswerError, Answerer, Ask, Upstream, UpstreamAnswer};
    use http::{StatusCode, header};
    use sidecar_contract::ServingLimits;

    use super::*;
    use crate::serving::Serving;

    /// Does not know any item, and answers no user.
    #[derive(Debug)]
    struct Stub;

    impl Upstream for Stub {
        fn answer(&self, ask: Ask) -> UpstreamAnswer<'_> {
            let error = match ask.query {
                answering::Query::Similar { .. } => AnswerError::UnknownItem,
                answering::Query::Recommend { .. } => AnswerError::Unavailable("for the test".to_owned()),
            };
            Box::pin(async move { Err(error) })
        }
    }

    #[tokio::test]
    async fn what_it_cannot_answer_is_left_to_others_and_errors_of_the_app_are_not() {
        let engine = Arc::new(Engine::new(1, 0));
        let local =
            LocalModel { endpoints: Endpoints::new(Arc::clone(&engine), Arc::default()), engine: Arc::clone(&engine) };
        let ask = async |path: &str, body: &'static str| {
            let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").body(()).unwrap();
            let (head, deadline) = (request.into_parts().0, Instant::now() + std::time::Duration::from_mins(1));
            let body = Bytes::from_static(body.as_bytes());
            let response = local.answer(Route::find(path), &head, body, &RequestId::new(), deadline).await;
            response.map(|response| response.status())
        };
        assert_eq!(ask("/recommend", r#"{"user": 1}"#).await, None, "no model yet");
        engine.publish(Serving::of(Answerer::Upstream(Arc::new(Stub)), ServingLimits::default()));
        assert_eq!(ask("/recommend", r#"{"user": "u"}"#).await, None);
        assert_eq!(ask("/similar", r#"{"item": "i"}"#).await, Some(StatusCode::NOT_FOUND));
        assert_eq!(ask("/recommend", r#"{"user": 1.5}"#).await, Some(StatusCode::BAD_REQUEST));
        assert_eq!(ask("/elsewhere", "").await, Some(StatusCode::NOT_FOUND));
    }
}

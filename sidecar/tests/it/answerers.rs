//! A second kind of answerer behind the same endpoints: they know nothing of what answers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use answering::{Answer, AnswerError, Answerer, Ask, Item, Part, Query, Source, Upstream, UpstreamAnswer};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use recommender_sidecar::{
    api::{Api, REVISION_HEADER},
    engine::Engine,
    metrics::Metrics,
    serving::Serving,
};
use serde_json::json;
use sidecar_contract::ServingLimits;

use crate::http::{FORM, JSON, send};

/// Records questions and answers each with its own number of items, or with an error.
#[derive(Debug, Default)]
struct Stub {
    asks: Mutex<Vec<Ask>>,
}

impl Upstream for Stub {
    fn answer(&self, ask: Ask) -> UpstreamAnswer<'_> {
        self.asks.lock().unwrap().push(ask.clone());
        Box::pin(async move {
            if matches!(&ask.query, Query::Similar { item } if item == "down") {
                return Err(AnswerError::Unavailable("connection refused".to_owned()));
            }
            let item = |index: usize| Item {
                id: format!("up{index}").into(),
                title: None,
                score: 0.5,
                source: Source::Model,
                explanation: None,
            };
            Ok(Answer {
                request_id: ask.request_id,
                parts: vec![Part {
                    name: None,
                    revision: "0123456789".to_owned(),
                    variant: "canary".to_owned(),
                    catalogue: None,
                }]
                .into(),
                items: (0..ask.n).map(item).collect(),
                left_out: Vec::new(),
                matches: None,
                next: None,
                degraded: ask.n == 1,
                missing: Vec::new(),
            })
        })
    }
}

#[tokio::test]
async fn the_time_that_a_client_waits_becomes_the_deadline_of_each_question() {
    let (engine, stub) = (Arc::new(Engine::default()), Arc::new(Stub::default()));
    engine.publish(Serving::of(Answerer::Upstream(Arc::clone(&stub) as Arc<dyn Upstream>), ServingLimits::default()));
    let api = Api::new(engine, Arc::new(Metrics::new().unwrap()));
    let ask = async |path: &str, body: &'static str, timeout: &str| {
        let request = Request::post(path).header(header::CONTENT_TYPE, JSON).header("x-request-timeout-ms", timeout);
        api.handle(request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()).await.unwrap().status()
    };
    let begin = Instant::now();
    assert_eq!(ask("/recommend", r#"{"user": "a"}"#, "60000").await, StatusCode::OK);
    assert_eq!(
        ask("/recommend:batch", r#"{"requests": [{"user": "a"}, {"user": "b"}]}"#, "60000").await,
        StatusCode::OK
    );
    let (minute, end) = (Duration::from_mins(1), Instant::now());
    let asks = std::mem::take(&mut *stub.asks.lock().unwrap());
    assert_eq!(asks.len(), 3);
    assert!(asks.iter().all(|ask| ask.deadline.is_some_and(|at| at >= begin + minute && at <= end + minute)));
    assert_eq!(ask("/recommend", r#"{"user": "a"}"#, "1s").await, StatusCode::BAD_REQUEST);
    send(&api, "POST", "/recommend", JSON, br#"{"user": "a"}"#).await;
    assert_eq!(stub.asks.lock().unwrap().pop().unwrap().deadline, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_answers_on_every_endpoint() {
    let (engine, stub) = (Arc::new(Engine::default()), Arc::new(Stub::default()));
    engine.publish(Serving::of(Answerer::Upstream(Arc::clone(&stub) as Arc<dyn Upstream>), ServingLimits::default()));
    let metrics = Arc::new(Metrics::new().unwrap());
    let api = Api::new(Arc::clone(&engine), Arc::clone(&metrics));

    let body = br#"{"user": "a", "n": 2, "exclude": ["b"], "history": [{"item": 7, "rating": 2.5}]}"#;
    let (status, headers, answer) = send(&api, "POST", "/recommend", JSON, body).await;
    assert_eq!((status, &headers[REVISION_HEADER]), (StatusCode::OK, &"0123456789".parse().unwrap()), "{answer}");
    assert_eq!(answer["model"], json!({"revision": "0123456789", "variant": "canary"}));
    assert_eq!(answer["items"][1], json!({"id": "up1", "score": 0.5, "source": "model"}));
    assert_eq!(answer.get("degraded"), None);
    let ask = stub.asks.lock().unwrap().pop().unwrap();
    assert_eq!(ask.filter.exclude, ["b"]);
    assert!(
        matches!(ask.query, Query::Recommend { user: Some(user), history } if user == "a" && history[0].item == "7")
    );

    let (_, _, answer) = send(&api, "POST", "/recommend", FORM, b"user_id=a&n=3").await;
    assert_eq!(answer["recommendations"], json!(["up0", "up1", "up2"]));
    let (_, _, answer) = send(&api, "POST", "/similar", JSON, br#"{"item": "x", "n": 1}"#).await;
    assert_eq!((answer["items"].as_array().unwrap().len(), &answer["degraded"]), (1, &json!(true)));
    let batch = br#"{"requests": [{"user": "a", "n": 2}, {"user": "b", "n": 4}]}"#;
    let (_, _, answer) = send(&api, "POST", "/recommend:batch", JSON, batch).await;
    let lengths: Vec<usize> =
        answer["responses"].as_array().unwrap().iter().map(|r| r["items"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [2, 4], "{answer}");

    let (status, _, problem) = send(&api, "POST", "/similar", JSON, br#"{"item": "down"}"#).await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:recmesh:problem:upstream-unavailable"))
    );
    // No model is loaded in this process.
    assert_eq!(send(&api, "GET", "/model", JSON, b"").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let text = String::from_utf8(metrics.encode(None).unwrap()).unwrap();
    assert!(text.contains("recommender_recommendations_total{source=\"model\"} 12"), "{text}");
}

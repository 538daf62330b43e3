//! A second kind of answerer behind the same endpoints: they know nothing of what answers.

use std::sync::{Arc, Mutex};

use answering::{Answer, AnswerError, Answerer, Ask, Item, Part, Query, Source, Upstream, UpstreamAnswer};
use http::StatusCode;
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
                id: format!("up{index}"),
                title: None,
                score: 0.5,
                source: Source::Model,
                explanation: None,
            };
            Ok(Answer {
                request_id: ask.request_id,
                parts: vec![Part { revision: "0123456789".to_owned(), variant: "canary".to_owned(), catalogue: None }],
                items: (0..ask.n).map(item).collect(),
                left_out: Vec::new(),
                matches: None,
                next: None,
                degraded: ask.n == 1,
            })
        })
    }
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

//! The application port as a function: responses and errors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use answering::{Answerer, Ask, DEFAULT_VARIANT, Local, Query, RequestId};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use recommender_sidecar::{
    api::{Api, REVISION_HEADER, request_id::REQUEST_ID_HEADER, route::ROUTES},
    engine::Engine,
    loading::{self, Verification},
    metrics::Metrics,
    serving::Serving,
};
use serde_json::{Value, json};
use sidecar_contract::{Access, PlaintextAccess, ServingLimits, ServingMode};
use tokio::{sync::oneshot, task::JoinSet};

use crate::model::train;

pub const JSON: &str = "application/json";
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Makes a model file serve.
pub fn publish(engine: &Engine, path: &std::path::Path) {
    let model = loading::open(path, Verification::Any).unwrap();
    let local = Local::new(model, DEFAULT_VARIANT, ServingMode::Personalized);
    engine.publish(Serving::of(Answerer::Local(Arc::new(local)), ServingLimits::default()));
}

/// A question that costs little.
fn popular() -> Ask {
    Ask::new(RequestId::new(), Query::Recommend { user: Some("unknown".into()), history: Vec::new() })
}

pub struct Server {
    pub api: Api,
    engine: Arc<Engine>,
    _directory: tempfile::TempDir,
}

pub async fn server() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let path = train(directory.path(), 6).await;
    let engine = Arc::new(Engine::default());
    publish(&engine, &path);
    let api = Api::new(Arc::clone(&engine), Arc::new(Metrics::new().unwrap()));
    Server { api, engine, _directory: directory }
}

pub async fn send(
    api: &Api,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> (StatusCode, http::HeaderMap, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap();
    let response = api.handle(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
}

async fn recommend(server: &Server, body: Value) -> Value {
    let (status, headers, answer) = send(&server.api, "POST", "/recommend", JSON, body.to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(headers[REVISION_HEADER], answer["model"]["revision"].as_str().unwrap());
    answer
}

fn ids(answer: &Value) -> Vec<String> {
    answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_user_first_gets_the_unseen_item_of_their_group() {
    let server = server().await;
    let answer = recommend(&server, json!({"user": "user6", "n": 1})).await;
    assert_eq!(ids(&answer), ["item12"]);
    assert_eq!(answer["items"][0]["source"], "model");
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_the_inner_products_of_the_factors_in_the_file() {
    let server = server().await;
    let serving = server.engine.serving();
    let model = serving.local().unwrap().model();
    let answer = recommend(&server, json!({"user": "user7", "n": 20, "includeSeen": true})).await;
    let user = model.snapshot().user_index("user7").unwrap() as usize;
    assert_eq!(answer["items"].as_array().unwrap().len(), 20);
    for item in answer["items"].as_array().unwrap() {
        let row = model.snapshot().item_index(item["id"].as_str().unwrap()).unwrap() as usize;
        let product: f64 = model
            .snapshot()
            .user_factors()
            .row(user)
            .iter()
            .zip(model.snapshot().item_factors().row(row))
            .map(|(u, v)| f64::from(*u) * f64::from(*v))
            .sum();
        assert!((item["score"].as_f64().unwrap() - product).abs() < 1e-5, "{item} {product}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_in_a_users_own_history_gives_the_stored_factors() {
    let server = server().await;
    let history: Vec<Value> = (0..20)
        .filter(|item| item % 2 == 0 && item / 2 != 6)
        .map(|item| json!({"item": format!("item{item}")}))
        .collect();
    let stored = recommend(&server, json!({"user": "user6", "n": 5})).await;
    let folded = recommend(&server, json!({"user": "user6", "n": 5, "history": history})).await;
    for (stored, folded) in stored["items"].as_array().unwrap().iter().zip(folded["items"].as_array().unwrap()) {
        assert_eq!((&stored["id"], &stored["score"]), (&folded["id"], &folded["score"]));
        assert_eq!(folded["source"], "fold-in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seen_and_excluded_items_are_not_recommended() {
    let server = server().await;
    let excluded =
        json!({"user": "user6", "n": 20, "exclude": ["item12", "item1"], "history": [{"item": "item3", "rating": 2}]});
    let got = ids(&recommend(&server, excluded).await);
    for absent in ["item12", "item1", "item3", "item0", "item2"] {
        assert!(!got.contains(&absent.to_owned()), "{absent} in {got:?}");
    }
    let mut unique = got.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), got.len());
    // Of 20 items, 9 are in the user's history, and item12, item1 and item3 are excluded or in the
    // request's: 8 are left.
    assert_eq!(got.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_gets_the_popularity_fallback() {
    let server = server().await;
    let answer = recommend(&server, json!({"user": "unknown", "n": 4})).await;
    assert_eq!(answer["items"].as_array().unwrap().len(), 4);
    assert!(answer["items"].as_array().unwrap().iter().all(|item| item["source"] == "popular"));
}

/// Sum of the parts of an explained score.
pub fn explained_sum(item: &Value) -> f64 {
    let part = |value: &Value| value.as_f64().unwrap_or(0.0);
    let explanation = &item["explanation"];
    let named = explanation["contributions"].as_array().unwrap();
    assert!(named.is_sorted_by(|x, y| part(&x["contribution"]) >= part(&y["contribution"])), "{item}");
    let named: f64 = named.iter().map(|entry| part(&entry["contribution"])).sum();
    named + part(&explanation["baseline"]) + explanation["remainder"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explained_score_is_the_sum_of_its_parts() {
    let server = server().await;
    let stored = json!({"user": "user6", "n": 3, "explain": true});
    // item2 occurs twice: its weights are summed.
    let history =
        json!([{"item": "item2"}, {"item": "item4", "rating": 3}, {"item": "item2"}, {"item": "item1", "rating": -1}]);
    let folded = json!({"history": history, "n": 3, "explain": true});
    for (body, named) in [(stored, 5), (folded, 2)] {
        let answer = recommend(&server, body.clone()).await;
        for item in answer["items"].as_array().unwrap() {
            let explanation = &item["explanation"];
            let contributions = explanation["contributions"].as_array().unwrap();
            assert!(contributions.len() <= named && explanation.get("baseline").is_none(), "{item}");
            assert!((explained_sum(item) - item["score"].as_f64().unwrap()).abs() < 1e-6, "{item}");
        }
        // The first item is of the same group as the user's items, and has the maximum number of
        // contributions.
        let first = &answer["items"][0];
        let contributions = first["explanation"]["contributions"].as_array().unwrap();
        assert_eq!(contributions.len(), named, "{first}");
        for entry in contributions {
            let number = entry["id"].as_str().unwrap().trim_start_matches("item").parse::<u32>().unwrap();
            assert_eq!(number % 2, 0, "{first}");
        }
        // The rest of the response is the same as without `explain`.
        let mut plain = body;
        plain.as_object_mut().unwrap().remove("explain");
        let plain = recommend(&server, plain).await;
        for (plain, item) in plain["items"].as_array().unwrap().iter().zip(answer["items"].as_array().unwrap()) {
            assert_eq!((&plain["id"], &plain["score"], plain.get("explanation")), (&item["id"], &item["score"], None));
        }
    }
    // The remainder is almost 0 if the history has only two items.
    let two = json!({"history": [{"item": "item2"}, {"item": "item4"}], "n": 1, "explain": true});
    let answer = recommend(&server, two).await;
    assert!(answer["items"][0]["explanation"]["remainder"].as_f64().unwrap().abs() < 1e-6, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn popular_items_have_no_explanation() {
    let server = server().await;
    let answer = recommend(&server, json!({"user": "unknown", "n": 2, "explain": true})).await;
    for item in answer["items"].as_array().unwrap() {
        assert!(item["source"] == "popular" && item.get("explanation").is_none(), "{item}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_to_a_form_has_ids_only() {
    let server = server().await;
    let body = b"user_id=42&items=item0,item2&ratings=5,3&n=2";
    let (status, _, answer) = send(&server.api, "POST", "/recommend", FORM, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["recommendations"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_equals_single_and_similar_excludes_the_item() {
    let server = server().await;
    let body = json!({"requests": [{"user": "user6", "n": 3}, {"user": "user7", "n": 2}]});
    let (status, _, answer) = send(&server.api, "POST", "/recommend:batch", JSON, body.to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let single = recommend(&server, json!({"user": "user6", "n": 3})).await;
    assert_eq!(answer["responses"][0]["items"], single["items"]);
    let (status, _, answer) = send(&server.api, "POST", "/similar", JSON, br#"{"item": "item4", "n": 19}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!ids(&answer).contains(&"item4".to_owned()) && ids(&answer).len() == 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_has_the_routes_and_no_others() {
    let server = server().await;
    let (status, _, document) = send(&server.api, "GET", "/openapi.json", JSON, b"").await;
    assert_eq!(status, StatusCode::OK);
    let mut documented: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        documented.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let mut routes: Vec<(String, String)> = ROUTES.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
    documented.sort();
    routes.sort();
    assert_eq!(documented, routes);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_and_requests_before_the_first_model_are_rejected() {
    let server = server().await;
    let (status, _, problem) = send(&server.api, "POST", "/recommend", JSON, &vec![b' '; 2 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{problem}");
    let empty = Api::new(Arc::new(Engine::default()), Arc::new(Metrics::new().unwrap()));
    let (status, headers, problem) = send(&empty, "POST", "/recommend", JSON, br#"{"user": "a"}"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(headers[header::RETRY_AFTER], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_and_error_has_the_request_id() {
    let server = server().await;
    let cases: [(&str, &str, &str, &[u8], u16); 7] = [
        ("POST", "/recommend", JSON, br#"{"user": "user6"}"#, 200),
        ("POST", "/recommend", FORM, b"user_id=user6", 200),
        ("POST", "/recommend:batch", JSON, br#"{"requests": [{"user": "user6"}, {"user": "user7"}]}"#, 200),
        ("POST", "/similar", JSON, br#"{"item": "item4"}"#, 200),
        ("GET", "/model", JSON, b"", 200),
        ("POST", "/recommend", JSON, b"{", 400),
        ("GET", "/nothing", JSON, b"", 404),
    ];
    for (method, path, content_type, body, status) in cases {
        let (got, headers, answer) = send(&server.api, method, path, content_type, body).await;
        assert_eq!(got.as_u16(), status, "{answer}");
        let id = answer["requestId"].as_str().unwrap_or_else(|| panic!("{path}: {answer}"));
        assert_eq!(headers[REQUEST_ID_HEADER], id, "{path}");
        for (index, part) in answer["responses"].as_array().into_iter().flatten().enumerate() {
            assert_eq!(part["requestId"], format!("{id}.{index}"));
        }
    }
    let request =
        Request::get("/openapi.json").header(REQUEST_ID_HEADER, "mine-1").body(Full::new(Bytes::new())).unwrap();
    let response = server.api.handle(request).await.unwrap();
    assert_eq!(response.headers()[REQUEST_ID_HEADER], "mine-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_a_long_expected_wait_are_refused_at_once() {
    let server = server().await;
    // All threads are busy until the test releases them, and previous computations were slow.
    let threads = std::thread::available_parallelism().unwrap().get();
    for _ in 0..threads {
        server.engine.answer(popular(), |_| std::thread::sleep(Duration::from_millis(50))).await.unwrap();
    }
    let released = Arc::new(AtomicBool::new(false));
    let mut held = JoinSet::new();
    for _ in 0..threads {
        let (engine, released) = (Arc::clone(&server.engine), Arc::clone(&released));
        let (started, starts) = oneshot::channel();
        let wait = move || {
            started.send(()).unwrap();
            while !released.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        held.spawn(async move { engine.answer(popular(), move |_| wait()).await.unwrap() });
        // Wait until it runs, so that it does not count as queued for the next one.
        starts.await.unwrap();
    }
    let api = Arc::new(server.api);
    // The burst is larger than the queue admits; most requests are refused before any is computed.
    let body = br#"{"user": "user6"}"#;
    let mut requests = JoinSet::new();
    for _ in 0..200 {
        let api = Arc::clone(&api);
        requests.spawn(async move { send(&api, "POST", "/recommend", JSON, body).await });
    }
    // No thread is free, so the first response is a refusal by the admission control.
    let (status, headers, problem) = requests.join_next().await.unwrap().unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["type"], "urn:recmesh:problem:overloaded");
    assert_eq!(headers[header::RETRY_AFTER], "1");
    released.store(true, Ordering::Relaxed);
    let rest = requests.join_all().await;
    assert!(rest.iter().any(|(status, ..)| *status == StatusCode::OK), "no request of the burst was admitted");
    held.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_can_be_refused_except_from_the_pod_itself() {
    let server = server().await;
    let serving = server.engine.serving();
    let refuse = |plaintext: PlaintextAccess| {
        let access = Access { plaintext: plaintext.into(), ..Access::default() };
        server.engine.publish(Serving { access, ..Serving::clone(&serving) });
    };
    let ask = async |client: &str| {
        let request = Request::get("/model").body(Full::<Bytes>::default()).unwrap();
        let response = server.api.handle_plaintext(request, client.parse().unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    refuse(PlaintextAccess::Never);
    for client in ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "192.168.0.1"] {
        let (status, problem) = ask(client).await;
        assert_eq!((status, problem["type"].as_str().unwrap()), (403, "urn:recmesh:problem:plaintext-refused"));
        assert!(problem["detail"].as_str().unwrap().contains("mutual TLS to port 8443"), "{problem}");
    }
    for client in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(ask(client).await.0, 200, "{client}");
    }
    refuse(PlaintextAccess::SameNamespace);
    assert_eq!(ask("10.0.0.1").await.0, 200);
}

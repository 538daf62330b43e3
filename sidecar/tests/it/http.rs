//! The application port as a function: what it answers, and what it refuses with which words.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use model_snapshot::Snapshot;
use recommender_sidecar::{
    api::{Api, REVISION_HEADER, ROUTES, request_id::REQUEST_ID_HEADER},
    engine::Engine,
    metrics::Metrics,
    model::ServingModel,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinSet};

use crate::model::train;

pub const JSON: &str = "application/json";
pub const FORM: &str = "application/x-www-form-urlencoded";

pub struct Door {
    pub api: Api,
    engine: Arc<Engine>,
    _directory: tempfile::TempDir,
}

pub async fn door() -> Door {
    let directory = tempfile::tempdir().unwrap();
    let path = train(directory.path(), 6).await;
    let snapshot = Snapshot::open(&path).unwrap();
    let engine = Arc::new(Engine::default());
    engine.swap(Arc::new(ServingModel::new(snapshot.digest(), snapshot).unwrap()));
    let api = Api::new(Arc::clone(&engine), Arc::new(Metrics::new().unwrap()));
    Door { api, engine, _directory: directory }
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

async fn recommend(door: &Door, body: Value) -> Value {
    let (status, headers, answer) = send(&door.api, "POST", "/recommend", JSON, body.to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(headers[REVISION_HEADER], answer["model"]["revision"].as_str().unwrap());
    answer
}

fn ids(answer: &Value) -> Vec<String> {
    answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_user_gets_what_is_missing_of_their_group_first() {
    let door = door().await;
    let answer = recommend(&door, json!({"user": "user6", "n": 1})).await;
    assert_eq!(ids(&answer), ["item12"]);
    assert_eq!(answer["items"][0]["source"], "model");
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_the_inner_products_of_the_file() {
    let door = door().await;
    let model = door.engine.model().unwrap();
    let answer = recommend(&door, json!({"user": "user7", "n": 20, "includeSeen": true})).await;
    let user = model.snapshot.user_index("user7").unwrap() as usize;
    assert_eq!(answer["items"].as_array().unwrap().len(), 20);
    for item in answer["items"].as_array().unwrap() {
        let row = model.snapshot.item_index(item["id"].as_str().unwrap()).unwrap() as usize;
        let product: f64 = model
            .snapshot
            .user_factors()
            .row(user)
            .iter()
            .zip(model.snapshot.item_factors().row(row))
            .map(|(u, v)| f64::from(*u) * f64::from(*v))
            .sum();
        assert!((item["score"].as_f64().unwrap() - product).abs() < 1e-5, "{item} {product}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_history_folds_in_to_the_stored_taste() {
    let door = door().await;
    let history: Vec<Value> = (0..20)
        .filter(|item| item % 2 == 0 && item / 2 != 6)
        .map(|item| json!({"item": format!("item{item}")}))
        .collect();
    let stored = recommend(&door, json!({"user": "user6", "n": 5})).await;
    let folded = recommend(&door, json!({"user": "user6", "n": 5, "history": history})).await;
    for (stored, folded) in stored["items"].as_array().unwrap().iter().zip(folded["items"].as_array().unwrap()) {
        assert_eq!((&stored["id"], &stored["score"]), (&folded["id"], &folded["score"]));
        assert_eq!(folded["source"], "fold-in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_met_or_excluded_never_comes_back() {
    let door = door().await;
    let excluded =
        json!({"user": "user6", "n": 20, "exclude": ["item12", "item1"], "history": [{"item": "item3", "rating": 2}]});
    let got = ids(&recommend(&door, excluded).await);
    for gone in ["item12", "item1", "item3", "item0", "item2"] {
        assert!(!got.contains(&gone.to_owned()), "{gone} in {got:?}");
    }
    let mut unique = got.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), got.len());
    // 20 items, 9 met in training, three named above of which item12, item1 and item3 were not met: 8 are left.
    assert_eq!(got.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_gets_what_is_popular() {
    let door = door().await;
    let answer = recommend(&door, json!({"user": "nobody", "n": 4})).await;
    assert_eq!(answer["items"].as_array().unwrap().len(), 4);
    assert!(answer["items"].as_array().unwrap().iter().all(|item| item["source"] == "popular"));
}

/// The parts of an explained score, added up.
pub fn explained_sum(item: &Value) -> f64 {
    let part = |value: &Value| value.as_f64().unwrap_or(0.0);
    let named = item["because"].as_array().unwrap();
    assert!(named.is_sorted_by(|x, y| part(&x["contribution"]) >= part(&y["contribution"])), "{item}");
    let named: f64 = named.iter().map(|entry| part(&entry["contribution"])).sum();
    named + part(&item["average"]) + item["rest"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explained_score_is_the_sum_of_what_the_users_items_add() {
    let door = door().await;
    let stored = json!({"user": "user6", "n": 3, "explain": true});
    // item2 comes twice: its weights add.
    let history =
        json!([{"item": "item2"}, {"item": "item4", "rating": 3}, {"item": "item2"}, {"item": "item1", "rating": -1}]);
    let folded = json!({"history": history, "n": 3, "explain": true});
    for (body, named) in [(stored, 5), (folded, 2)] {
        let answer = recommend(&door, body.clone()).await;
        for item in answer["items"].as_array().unwrap() {
            let because = item["because"].as_array().unwrap();
            assert!(because.len() <= named && item.get("average").is_none(), "{item}");
            assert!((explained_sum(item) - item["score"].as_f64().unwrap()).abs() < 1e-6, "{item}");
        }
        // What stands first is of the group that the user's items are of, and comes from as many of them as are named.
        let first = &answer["items"][0];
        assert_eq!(first["because"].as_array().unwrap().len(), named, "{first}");
        for entry in first["because"].as_array().unwrap() {
            let number = entry["id"].as_str().unwrap().trim_start_matches("item").parse::<u32>().unwrap();
            assert_eq!(number % 2, 0, "{first}");
        }
        // Nothing else of the answer changes.
        let mut plain = body;
        plain.as_object_mut().unwrap().remove("explain");
        let plain = recommend(&door, plain).await;
        for (plain, item) in plain["items"].as_array().unwrap().iter().zip(answer["items"].as_array().unwrap()) {
            assert_eq!((&plain["id"], &plain["score"], plain.get("because")), (&item["id"], &item["score"], None));
        }
    }
    // All but nothing is left to the rest when two items of the history are all there is.
    let two = json!({"history": [{"item": "item2"}, {"item": "item4"}], "n": 1, "explain": true});
    let answer = recommend(&door, two).await;
    assert!(answer["items"][0]["rest"].as_f64().unwrap().abs() < 1e-6, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_popular_is_so_without_a_reason() {
    let door = door().await;
    let answer = recommend(&door, json!({"user": "nobody", "n": 2, "explain": true})).await;
    for item in answer["items"].as_array().unwrap() {
        assert!(item["source"] == "popular" && item.get("because").is_none() && item.get("rest").is_none(), "{item}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_answers_with_ids_alone() {
    let door = door().await;
    let body = b"user_id=42&items=item0,item2&ratings=5,3&n=2";
    let (status, _, answer) = send(&door.api, "POST", "/recommend", FORM, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["recommendations"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_equals_single_and_similar_leaves_the_item_out() {
    let door = door().await;
    let body = json!({"requests": [{"user": "user6", "n": 3}, {"user": "user7", "n": 2}]});
    let (status, _, answer) = send(&door.api, "POST", "/recommend:batch", JSON, body.to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let single = recommend(&door, json!({"user": "user6", "n": 3})).await;
    assert_eq!(answer["responses"][0]["items"], single["items"]);
    let (status, _, answer) = send(&door.api, "POST", "/similar", JSON, br#"{"item": "item4", "n": 19}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!ids(&answer).contains(&"item4".to_owned()) && ids(&answer).len() == 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_has_the_routes_and_no_others() {
    let door = door().await;
    let (status, _, document) = send(&door.api, "GET", "/openapi.json", JSON, b"").await;
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
async fn too_large_a_body_and_too_early_a_request_are_refused() {
    let door = door().await;
    let (status, _, problem) = send(&door.api, "POST", "/recommend", JSON, &vec![b' '; 2 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{problem}");
    let empty = Api::new(Arc::new(Engine::default()), Arc::new(Metrics::new().unwrap()));
    let (status, headers, problem) = send(&empty, "POST", "/recommend", JSON, br#"{"user": "a"}"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(headers[header::RETRY_AFTER], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_and_error_carries_the_id_of_its_request() {
    let door = door().await;
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
        let (got, headers, answer) = send(&door.api, method, path, content_type, body).await;
        assert_eq!(got.as_u16(), status, "{answer}");
        let id = answer["requestId"].as_str().unwrap_or_else(|| panic!("{path}: {answer}"));
        assert_eq!(headers[REQUEST_ID_HEADER], id, "{path}");
        for (place, part) in answer["responses"].as_array().into_iter().flatten().enumerate() {
            assert_eq!(part["requestId"], format!("{id}.{place}"));
        }
    }
    let request =
        Request::get("/openapi.json").header(REQUEST_ID_HEADER, "mine-1").body(Full::new(Bytes::new())).unwrap();
    let response = door.api.handle(request).await.unwrap();
    assert_eq!(response.headers()[REQUEST_ID_HEADER], "mine-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_wait_too_long_is_refused_at_once() {
    let door = door().await;
    // Every thread is busy until the test says so, and what they did before is known to take long.
    let threads = std::thread::available_parallelism().unwrap().get();
    for _ in 0..threads {
        door.engine.compute(|_| std::thread::sleep(Duration::from_millis(50))).await.unwrap();
    }
    let open = Arc::new(AtomicBool::new(false));
    let mut held = JoinSet::new();
    for _ in 0..threads {
        let (engine, open) = (Arc::clone(&door.engine), Arc::clone(&open));
        let (started, starts) = oneshot::channel();
        let wait = move || {
            started.send(()).unwrap();
            while !open.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        held.spawn(async move { engine.compute(move |_| wait()).await.unwrap() });
        // One that still queues is load to the next.
        starts.await.unwrap();
    }
    let api = Arc::new(door.api);
    // More come than a burst may hold; most are refused before anything is computed.
    let body = br#"{"user": "user6"}"#;
    let mut asking = JoinSet::new();
    for _ in 0..200 {
        let api = Arc::clone(&api);
        asking.spawn(async move { send(&api, "POST", "/recommend", JSON, body).await });
    }
    // No thread is free: what comes back now comes from the door.
    let (status, headers, problem) = asking.join_next().await.unwrap().unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["type"], "urn:recmesh:problem:overloaded");
    assert_eq!(headers[header::RETRY_AFTER], "1");
    open.store(true, Ordering::Relaxed);
    let rest = asking.join_all().await;
    assert!(rest.iter().any(|(status, ..)| *status == StatusCode::OK), "nothing of a burst was let in");
    held.join_all().await;
}

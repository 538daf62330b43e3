//! A model of explicit ratings behind the API: predicted ratings on their scale, and ratings that
//! requests must have.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use recommender_sidecar::{api::Api, engine::Engine, metrics::Metrics};
use serde_json::{Value, json};
use sidecar_contract::{Algorithm, AlsConfig};

use crate::{
    http::{explained_sum, publish},
    model::train_ratings,
};

struct Server {
    api: Api,
    engine: Arc<Engine>,
    _directory: tempfile::TempDir,
}

async fn server() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let algorithm =
        Algorithm::Als(AlsConfig { factors: 3, iterations: 10, regularization: Some(0.02), ..AlsConfig::WIRE_DEFAULT });
    let (path, _) = train_ratings(directory.path(), algorithm).await;
    let engine = Arc::new(Engine::default());
    publish(&engine, &path);
    let api = Api::new(Arc::clone(&engine), Arc::new(Metrics::new().unwrap()));
    Server { api, engine, _directory: directory }
}

async fn send(server: &Server, method: &str, path: &str, content_type: &str, body: String) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type);
    let response = server.api.handle(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap())
}

async fn post(server: &Server, path: &str, body: Value) -> (StatusCode, Value) {
    send(server, "POST", path, "application/json", body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_predicted_ratings_on_the_scale() {
    let server = server().await;
    let (status, answer) = post(&server, "/recommend", json!({"user": "user6", "n": 16, "includeSeen": true})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let serving = server.engine.serving();
    let model = serving.local().unwrap().model();
    let (scale, users, items) = model.snapshot().ratings().unwrap();
    let user = model.snapshot().user_index("user6").unwrap() as usize;
    let answered = answer["items"].as_array().unwrap();
    assert_eq!(answered.len(), 16);
    for (rank, item) in answered.iter().enumerate() {
        let id = item["id"].as_str().unwrap();
        let row = model.snapshot().item_index(id).unwrap() as usize;
        let (u, v) = (model.snapshot().user_factors(), model.snapshot().item_factors());
        let product: f64 = u.row(user).iter().zip(v.row(row)).map(|(u, v)| f64::from(*u) * f64::from(*v)).sum();
        let rating = f64::from(scale.mean) + f64::from(users[user]) + f64::from(items[row]) + product;
        let score = item["score"].as_f64().unwrap();
        assert!((score - rating.clamp(1.0, 5.0)).abs() < 1e-5, "{item} {rating}");
        // The eight items of the user's parity come first, including those without a rating.
        assert_eq!(id.trim_start_matches("item").parse::<u32>().unwrap() % 2, u32::from(rank >= 8), "{answer}");
        assert!(if rank < 8 { score > 3.5 } else { score < 2.5 }, "{item}");
    }
    let (_, described) = send(&server, "GET", "/model", "application/json", String::new()).await;
    assert_eq!((&described["signal"], &described["ratings"]), (&json!("explicit"), &json!({"low": 1.0, "high": 5.0})));
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_in_a_users_own_ratings_gives_the_stored_factors() {
    let server = server().await;
    let serving = server.engine.serving();
    let model = serving.local().unwrap().model();
    let user = model.snapshot().user_index("user7").unwrap();
    let weights = model.snapshot().seen_weights(user).unwrap();
    let history: Vec<Value> = model
        .snapshot()
        .seen(user)
        .iter()
        .zip(weights)
        .map(|(item, rating)| json!({"item": model.snapshot().item_id(*item).unwrap(), "rating": rating}))
        .collect();
    let (_, stored) = post(&server, "/recommend", json!({"user": "user7", "n": 5})).await;
    let (_, folded) = post(&server, "/recommend", json!({"user": "unknown", "n": 5, "history": history})).await;
    assert_eq!((stored["items"].as_array().unwrap().len(), folded["items"].as_array().unwrap().len()), (4, 4));
    for (stored, folded) in stored["items"].as_array().unwrap().iter().zip(folded["items"].as_array().unwrap()) {
        assert_eq!((&stored["id"], &stored["score"]), (&folded["id"], &folded["score"]));
        assert_eq!((stored["source"].as_str(), folded["source"].as_str()), (Some("model"), Some("fold-in")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explained_rating_has_a_baseline() {
    let server = server().await;
    let serving = server.engine.serving();
    let model = serving.local().unwrap().model();
    let (scale, _, biases) = model.snapshot().ratings().unwrap();
    let history = json!([{"item": "item1", "rating": 5}, {"item": "item2", "rating": 1}]);
    for body in [json!({"user": "user7", "n": 8}), json!({"history": history, "n": 8})] {
        let mut body = body;
        body["explain"] = true.into();
        let (status, answer) = post(&server, "/recommend", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        for item in answer["items"].as_array().unwrap().iter().filter(|item| item["source"] != "popular") {
            let row = model.snapshot().item_index(item["id"].as_str().unwrap()).unwrap() as usize;
            let baseline = f64::from(scale.mean) + f64::from(biases[row]);
            assert!((item["explanation"]["baseline"].as_f64().unwrap() - baseline).abs() < 1e-5, "{item}");
            assert!((explained_sum(item) - item["score"].as_f64().unwrap()).abs() < 1e-5, "{item}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_item_without_a_rating_is_rejected() {
    let server = server().await;
    let expected = "this model predicts ratings from 1 to 5, so each item needs one";
    let refused = |(status, problem): (StatusCode, Value)| {
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
    };
    refused(post(&server, "/recommend", json!({"user": "a", "history": [{"item": "item1"}]})).await);
    let batch = json!({"requests": [{"user": "a", "history": [{"item": "item1", "rating": 3}, {"item": "item2"}]}]});
    refused(post(&server, "/recommend:batch", batch).await);
    let form = "application/x-www-form-urlencoded";
    refused(send(&server, "POST", "/recommend", form, "items=item1,item2".to_owned()).await);
    let (status, answer) =
        send(&server, "POST", "/recommend", form, "items=item1,item2&ratings=5,1&n=3".to_owned()).await;
    assert_eq!(status, StatusCode::OK);
    for id in answer["recommendations"].as_array().unwrap() {
        assert!(id.as_str().unwrap().trim_start_matches("item").parse::<u32>().unwrap() % 2 == 1, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_users_get_the_popularity_fallback_and_similar_works() {
    let server = server().await;
    let (_, answer) = post(&server, "/recommend", json!({"user": "unknown", "n": 4})).await;
    assert!(answer["items"].as_array().unwrap().iter().all(|item| item["source"] == "popular"), "{answer}");
    let (_, answer) = post(&server, "/similar", json!({"item": "item4", "n": 7})).await;
    for item in answer["items"].as_array().unwrap() {
        assert_eq!(item["id"].as_str().unwrap().trim_start_matches("item").parse::<u32>().unwrap() % 2, 0, "{answer}");
    }
}

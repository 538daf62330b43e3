//! The cache changes no answer: two servers, of which one has a cache, get the same swaps and
//! requests, and send the same bytes.

use std::{cell::Cell, sync::Arc};

use answering::{Answerer, DEFAULT_VARIANT, Local, Model};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use recommender_sidecar::{
    api::{Api, request_id::REQUEST_ID_HEADER},
    engine::{CacheUsage, Engine},
    loading::{self, Verification},
    metrics::Metrics,
    serving::Serving,
};
use serde_json::{Value, json};
use sidecar_contract::{ServingLimits, ServingMode};

use crate::{
    http::JSON,
    model::{train, train_with_items},
};

/// A cache of a few lists, so that lists are also evicted.
const SMALL_CACHE_BYTES: usize = 16 << 10;

#[derive(Clone, Debug)]
enum Step {
    /// Another generation: a revision, and whether its factors answer.
    Publish(usize, bool),
    /// A body of `/recommend`.
    Recommend(Value),
}

fn step() -> impl Strategy<Value = Step> {
    let body = (
        0..5_u32,
        1..4_usize,
        any::<bool>(),
        prop::option::weighted(0.1, 0..20_u32),
        prop::option::weighted(0.1, 0..20_u32),
        prop::bool::weighted(0.1),
    );
    let body = body.prop_map(|(user, n, include_seen, exclude, history, explain)| {
        // The user 4 is unknown.
        let user = if user == 4 { "nobody".to_owned() } else { format!("user{user}") };
        let mut body = json!({"user": user, "n": 4 * n, "includeSeen": include_seen, "explain": explain});
        body["exclude"] = exclude.into_iter().map(|item| json!(format!("item{item}"))).collect();
        body["history"] = history.into_iter().map(|item| json!({"item": format!("item{item}")})).collect();
        Step::Recommend(body)
    });
    prop_oneof![1 => (0..2_usize, any::<bool>()).prop_map(|(model, full)| Step::Publish(model, full)), 12 => body]
}

struct Server {
    engine: Arc<Engine>,
    api: Api,
}

impl Server {
    fn new(cache_bytes: usize) -> Self {
        let engine = Arc::new(Engine::new(1, cache_bytes));
        let api = Api::new(Arc::clone(&engine), Arc::new(Metrics::new().unwrap()));
        Self { engine, api }
    }

    fn publish(&self, model: &Arc<Model>, personalized: bool) {
        let mode = if personalized { ServingMode::Personalized } else { ServingMode::PopularityOnly };
        let local = Local::new(Arc::clone(model), DEFAULT_VARIANT, mode);
        self.engine.publish(Serving::of(Answerer::Local(Arc::new(local)), ServingLimits::default()));
    }

    async fn recommend(&self, body: &Value) -> (u16, Bytes) {
        let request = Request::post("/recommend").header(header::CONTENT_TYPE, JSON).header(REQUEST_ID_HEADER, "r");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let response = self.api.handle(request).await.unwrap();
        (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_equal_with_and_without_the_cache_across_swaps() {
    let directory = tempfile::tempdir().unwrap();
    let paths = [train(directory.path(), 3).await, train_with_items(directory.path(), 2, "other").await];
    let models = paths.map(|path| loading::open(&path, Verification::Any).unwrap());
    let found = Cell::new(CacheUsage::default());
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 64, ..Config::default() });
        let steps = prop::collection::vec(step(), 1..120);
        let outcome = runner.run(&steps, |steps| {
            let (plain, cached) = (Server::new(0), Server::new(SMALL_CACHE_BYTES));
            for server in [&plain, &cached] {
                server.publish(&models[0], true);
            }
            for step in steps {
                match step {
                    Step::Publish(model, personalized) => {
                        for server in [&plain, &cached] {
                            server.publish(&models[model], personalized);
                        }
                        prop_assert_eq!(cached.engine.cache_usage().bytes, 0, "a new generation begins empty");
                    }
                    Step::Recommend(body) => {
                        let expected = runtime.block_on(plain.recommend(&body));
                        prop_assert_eq!(runtime.block_on(cached.recommend(&body)), expected, "{}", body);
                    }
                }
            }
            let usage = cached.engine.cache_usage();
            prop_assert!(usage.bytes <= SMALL_CACHE_BYTES as u64);
            prop_assert_eq!(plain.engine.cache_usage(), CacheUsage::default());
            let CacheUsage { hits, misses, bytes } = found.get();
            found.set(CacheUsage { hits: hits + usage.hits, misses: misses + usage.misses, bytes });
            Ok(())
        });
        outcome.unwrap();
    });
    let found = found.get();
    assert!(found.hits > 100 && found.misses > 100, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_questions_of_known_users_are_looked_up() {
    let directory = tempfile::tempdir().unwrap();
    let model = loading::open(&train(directory.path(), 3).await, Verification::Any).unwrap();
    let server = Server::new(1 << 20);
    server.publish(&model, true);
    for body in [
        json!({"user": "nobody"}),
        json!({"history": [{"item": "item1"}]}),
        json!({"user": "user1", "history": [{"item": "item1"}]}),
        json!({"user": "user1", "exclude": ["item1"]}),
        json!({"user": "user1", "explain": true}),
    ] {
        for _ in 0..2 {
            assert_eq!(server.recommend(&body).await.0, 200, "{body}");
        }
        assert_eq!(server.engine.cache_usage(), CacheUsage::default(), "{body}");
    }
    for body in
        [json!({"user": "user1"}), json!({"user": "user1", "n": 3}), json!({"user": "user1", "includeSeen": true})]
    {
        let before = server.engine.cache_usage();
        server.recommend(&body).await;
        server.recommend(&body).await;
        let after = server.engine.cache_usage();
        assert_eq!((after.hits - before.hits, after.misses - before.misses), (1, 1), "{body}");
    }
}

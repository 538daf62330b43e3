//! Allocations of an answer, counted: each takes time, and one more is easily missed in a review.

#![allow(clippy::unwrap_used)] // A test may panic.

#[expect(dead_code, reason = "also has the models of other tests")]
#[path = "it/model.rs"]
mod model;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    thread,
};

use allocation_counter::measure;
use answering::{Answerer, Ask, DEFAULT_VARIANT, Local, Query, RequestId};
use http::Request;
use recommender_sidecar::{
    api::Api,
    engine::Engine,
    loading::{self, Verification},
    metrics::Metrics,
    server::{ConnectionLimits, RequestBody, ShutdownSignals, serve},
    serving::Serving,
};
use sidecar_contract::{ServingLimits, ServingMode};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{oneshot, watch},
};

/// Enough that what the test itself allocates on this thread does not count.
const ANSWERS: u64 = 200;
const CACHE_BYTES: usize = 1 << 20;

/// A server whose only I/O thread is this one, and a client.
struct Connected {
    runtime: Runtime,
    client: TcpStream,
    _stop: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

fn local() -> (Local, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let model = Runtime::new().unwrap().block_on(model::train(directory.path(), 6));
    let model = loading::open(&model, Verification::Any).unwrap();
    (Local::new(model, DEFAULT_VARIANT, ServingMode::Personalized), directory)
}

impl Connected {
    fn new() -> Self {
        let (local, directory) = local();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let engine = Arc::new(Engine::new(1, CACHE_BYTES));
        engine.publish(Serving::of(Answerer::Local(Arc::new(local)), ServingLimits::default()));
        let metrics = Arc::new(Metrics::new().unwrap());
        let limits = ConnectionLimits {
            connections_max: 1,
            http2_connections_max: 1,
            counters: metrics.connections.listener("app"),
        };
        let api = Arc::new(Api::new(engine, metrics));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let signals = ShutdownSignals { draining: stopped.clone(), stopped };
        drop(runtime.spawn(serve(listener, limits, signals, move |_| {
            let api = Arc::clone(&api);
            move |request: Request<RequestBody>| {
                let api = Arc::clone(&api);
                async move { api.handle(request).await }
            }
        })));
        Self { runtime, client, _stop: stop, _directory: directory }
    }

    /// Answers the same question this number of times.
    fn answer(&self, times: u64) {
        let mut client = self.client.try_clone().unwrap();
        let (done, ended) = oneshot::channel();
        let asking = thread::spawn(move || {
            (0..times).for_each(|_| ask(&mut client));
            done.send(()).unwrap();
        });
        self.runtime.block_on(ended).unwrap();
        asking.join().unwrap();
    }

    fn allocations_per_answer(&self) -> u64 {
        self.answer(10);
        measure(|| self.answer(ANSWERS)).count_total / ANSWERS
    }
}

/// Sends a request and reads its response.
fn ask(client: &mut TcpStream) {
    let body = r#"{"user":"user6","n":10}"#;
    let head = "POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    write!(client, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let (mut response, mut piece) = (Vec::new(), [0; 4096]);
    while !response.ends_with(b"]}") {
        let length = client.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&response));
        response.extend_from_slice(piece.get(..length).unwrap());
    }
    assert!(response.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response));
}

/// From the socket to the socket, with a list of the cache: such an answer is always computed by
/// the I/O thread.
#[test]
fn serving_an_answer_makes_few_allocations() {
    let allocations = Connected::new().allocations_per_answer();
    assert!(allocations <= 18, "{allocations}");
}

#[test]
fn computing_a_list_makes_few_allocations() {
    let (local, _directory) = local();
    let query = Query::Recommend { user: Some("user6".to_owned()), history: Vec::new() };
    let ask = Ask::new(RequestId::new(), query);
    local.answer(&ask).unwrap();
    let allocations = measure(|| drop(local.answer(&ask).unwrap())).count_total;
    assert!(allocations <= 11, "{allocations}");
}

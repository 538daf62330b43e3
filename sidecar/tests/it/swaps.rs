//! Hundreds of swaps under load: each response has one revision, and all its items come from that
//! revision.

use std::{
    collections::BTreeMap,
    io::{BufReader, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sidecar_contract::ServingLimits;

use crate::{
    model::train_with_items,
    process::{Process, configure, file_store, put, start, wait_for},
};

const SWAPS: usize = 300;
const CLIENTS: usize = 6;
const REVISIONS: usize = 3;

/// Sends requests on one connection until `stop`; returns the number of responses by revision.
fn client(
    process: &Process,
    prefixes: BTreeMap<String, String>,
    stop: Arc<AtomicBool>,
) -> impl FnOnce() -> BTreeMap<String, u64> + use<> {
    let stream = process.connect();
    move || {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        let mut responses = BTreeMap::new();
        let single = json!({"user": "user6", "n": 15}).to_string();
        let user = |user: u32| json!({"user": format!("user{user}"), "n": 20, "includeSeen": true});
        let batch = json!({"requests": [user(1), user(2), user(3), {"user": "unknown", "n": 5}]}).to_string();
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let (path, body) = if round % 4 == 0 { ("/recommend:batch", &batch) } else { ("/recommend", &single) };
            let length = body.len();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            writer.write_all(format!("{head}{body}").as_bytes()).unwrap();
            let (status, revision, answer) = read_response(&mut reader);
            if status == "503" {
                // Clients without delays may overload a small machine.
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            assert_eq!(status, "200", "{answer}");
            let parts = answer["responses"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
            for part in &parts {
                assert_eq!(part["model"]["revision"], revision.as_str(), "{answer}");
                let items = part["items"].as_array().unwrap();
                assert!(!items.is_empty());
                for item in items {
                    assert!(item["id"].as_str().unwrap().starts_with(&prefixes[&revision]), "{revision}: {answer}");
                }
            }
            *responses.entry(revision).or_default() += 1;
        }
        responses
    }
}

fn read_response(reader: &mut impl std::io::BufRead) -> (String, String, Value) {
    let (mut status, mut revision, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            rest[..3].clone_into(&mut status);
        } else if let Some(value) = line.strip_prefix("x-model-revision: ") {
            value.clone_into(&mut revision);
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (status, revision, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_is_from_one_revision_over_hundreds_of_swaps() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = file_store(at);
    let mut revisions = Vec::new();
    let mut prefixes = BTreeMap::new();
    for index in 0..REVISIONS {
        let prefix = format!("set{index}-");
        let revision = put(&store, &train_with_items(at, 3, &prefix).await).await;
        prefixes.insert(revision.digest.revision().to_owned(), prefix);
        revisions.push(revision);
    }
    assert_eq!(prefixes.len(), REVISIONS);
    let process = start(at);
    configure(at, &store, &revisions[..1], ServingLimits::default());
    wait_for("the first revision", || process.is_ready());
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| std::thread::spawn(client(&process, prefixes.clone(), Arc::clone(&stop)))).collect();
    for swap in 1..=SWAPS {
        let desired = &revisions[swap % REVISIONS];
        configure(at, &store, std::slice::from_ref(desired), ServingLimits::default());
        wait_for("the swap", || process.report().loaded.is_some_and(|model| model.digest == desired.digest));
    }
    stop.store(true, Ordering::Relaxed);
    let mut responses: BTreeMap<String, u64> = BTreeMap::new();
    for client in clients {
        for (revision, count) in client.join().unwrap() {
            *responses.entry(revision).or_default() += count;
        }
    }
    assert_eq!(responses.len(), REVISIONS, "{responses:?}");
    // Metrics have series of the last revision only, even if a response of another was counted
    // late.
    let (_, metrics) = crate::process::request(process.admin_port, "GET", "/metrics", "").unwrap();
    let last = revisions[SWAPS % REVISIONS].digest.revision();
    for old in prefixes.keys().filter(|revision| *revision != last) {
        assert!(!metrics.contains(&format!("revision=\"{old}\"")), "{metrics}");
    }
}

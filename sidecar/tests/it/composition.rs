//! A composition of real serving pods: blends, cascades, switches and splits, while a part is frozen.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    model::train_with_items,
    pending::Pending,
    process::{DEADLINE, Process, patient, request, start_compose, start_proxy, start_with, wait_for},
};

const PARTS: [&str; 3] = ["films", "books", "games"];

/// Serving pods of three Recommenders, whose items begin with the name of the Recommender.
async fn parts(directory: &Path) -> Vec<Process> {
    let mut parts = Vec::new();
    for part in PARTS {
        let model = train_with_items(directory, 4, part).await;
        parts.push(start_with(directory, &["--model", model.to_str().unwrap()]));
    }
    for part in &parts {
        wait_for("readiness", || part.is_ready());
    }
    parts
}

/// Replaces the composition atomically, as kubelet does.
fn configure(directory: &Path, parts: &[Process], rule: &Value) {
    let named: Vec<(&str, u16)> = PARTS.into_iter().zip(parts).map(|(name, part)| (name, part.port)).collect();
    configure_ports(directory, &named, rule);
}

/// The same with parts at these ports.
fn configure_ports(directory: &Path, parts: &[(&str, u16)], rule: &Value) {
    let part = |(name, port): &(&str, u16)| json!({"name": name, "addresses": [format!("127.0.0.1:{port}")]});
    let config = json!({
        "namespace": "shop", "name": "home", "rule": rule, "parts": parts.iter().map(part).collect::<Vec<_>>(),
    });
    std::fs::write(directory.join("new"), config.to_string()).unwrap();
    std::fs::rename(directory.join("new"), directory.join("composition.json")).unwrap();
}

/// Starts a composition, and waits until it has found its parts.
fn start(directory: &Path, parts: &[Process], rule: &Value) -> Process {
    configure(directory, parts, rule);
    started(directory)
}

/// Starts a composition of this one alone, in a directory of its own.
fn start_nested(directory: &Path, inner: &Process) -> Process {
    let outer = directory.join("outer");
    std::fs::create_dir_all(&outer).unwrap();
    configure_ports(&outer, &[("home", inner.port)], &json!({"cascade": {"parts": ["home"], "minItems": 1}}));
    started(&outer)
}

fn started(directory: &Path) -> Process {
    let composition = start_compose(directory);
    wait_for("readiness", || composition.is_ready());
    composition
}

fn blend() -> Value {
    json!({"blend": {"parts": PARTS.map(|name| json!({"name": name, "weight": 1})), "normalize": "rank"}})
}

fn split() -> Value {
    let parts = PARTS.iter().zip([50, 30, 20]).map(|(name, share)| json!({"name": name, "share": share}));
    json!({"split": {"parts": parts.collect::<Vec<_>>(), "salt": "spring"}})
}

/// Status, head and body of a request with more headers.
fn raw(port: u16, path: &str, headers: &str, body: &Value) -> (u16, String, Value) {
    let (mut stream, body) = (TcpStream::connect(("127.0.0.1", port)).unwrap(), body.to_string());
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}");
    write!(stream, "{}content-length: {}\r\n\r\n{body}", patient(&head), body.len()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), serde_json::from_str(body).unwrap())
}

fn ask(process: &Process, headers: &str, body: &Value) -> Value {
    let (status, _, answer) = raw(process.port, "/recommend", headers, body);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// An answer of these parts, while another one is frozen. On a busy machine more of them may be late.
fn ask_without_frozen(process: &Process, headers: &str, body: &Value, expected: &[&str]) -> Value {
    let headers = format!("{headers}x-request-timeout-ms: 1000\r\n");
    let mut answer = Value::Null;
    wait_for(&format!("an answer of {expected:?}"), || {
        let (status, _, document) = raw(process.port, "/recommend", &headers, body);
        assert!([200, 503, 504].contains(&status), "{document}");
        answer = document;
        status == 200 && names(&answer) == expected
    });
    answer
}

fn names(answer: &Value) -> Vec<&str> {
    answer["model"]["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect()
}

/// The Recommenders that the items of an answer belong to.
fn origins(answer: &Value) -> Vec<&str> {
    let ids = answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap());
    let origin = |id: &str| *PARTS.iter().find(|part| id.starts_with(**part)).unwrap();
    let mut origins: Vec<&str> = ids.map(origin).collect();
    origins.sort_unstable();
    origins.dedup();
    origins
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blend_answers_without_a_frozen_part_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts(directory.path()).await;
    let composition = start(directory.path(), &parts, &blend());
    let body = json!({"user": "user6", "n": 9});
    let answer = ask(&composition, "", &body);
    assert_eq!((names(&answer), origins(&answer)), (PARTS.to_vec(), vec!["books", "films", "games"]), "{answer}");
    assert_eq!(answer.get("degraded"), None, "{answer}");
    let revision = answer["model"]["revision"].as_str().unwrap().to_owned();
    for (part, process) in answer["model"]["parts"].as_array().unwrap().iter().zip(&parts) {
        let direct = ask(process, "", &body);
        assert_eq!(part["revision"], direct["model"]["revision"]);
    }

    parts[1].freeze();
    let answer = ask_without_frozen(&composition, "", &body, &["films", "games"]);
    assert_eq!(origins(&answer), ["films", "games"], "{answer}");
    assert_eq!((&answer["degraded"], &answer["missingParts"]), (&json!(true), &json!(["books"])));
    assert_eq!(answer["model"]["revision"], revision);
    assert!(composition.metric("recommender_part_requests_total", "outcome=\"timed-out\"") >= 1.0);
    assert!(composition.metric("recommender_composed_answers_total", "degraded") >= 1.0);

    parts[1].signal("-CONT");
    wait_for("an answer of all parts", || ask(&composition, "", &body).get("missingParts").is_none());
    // What no list of several parts can have is rejected, and so is what every part rejects.
    for (field, bad) in [
        ("explain", json!({"user": "a", "explain": true})),
        ("cursor", json!({"user": "a", "cursor": "*"})),
        ("where", json!({"user": "a", "where": {"genre": ["x"]}})),
    ] {
        let (status, _, problem) = raw(composition.port, "/recommend", "", &bad);
        assert!(status == 400 && problem["detail"].as_str().unwrap().starts_with(field), "{status}: {problem}");
    }
    let batch = |count: usize, n: u32, last: Value| {
        let mut requests = vec![json!({"user": "a", "n": n}); count];
        requests.push(last);
        json!({"requests": requests})
    };
    // A part is asked for 11 lists of 1,000 items in two requests, the last of which has one list.
    for (place, batch) in [
        ("requests[1].where", batch(1, 10, json!({"user": "b", "where": {"genre": ["x"]}}))),
        ("requests[1].explain", batch(1, 10, json!({"user": "b", "explain": true}))),
        ("requests[10].where", batch(10, 1000, json!({"user": "b", "n": 1000, "where": {"genre": ["x"]}}))),
    ] {
        let (status, _, problem) = raw(composition.port, "/recommend:batch", "", &batch);
        assert!(status == 400 && problem["detail"].as_str().unwrap().starts_with(place), "{place}: {problem}");
    }
    let (status, _, problem) = raw(composition.port, "/similar", "", &json!({"item": "none"}));
    assert_eq!(status, 404, "{problem}");
    let (status, _, similar) = raw(composition.port, "/similar", "", &json!({"item": "films2"}));
    assert_eq!((status, names(&similar), similar.get("degraded")), (200, vec!["films"], None), "{similar}");
    // A part that does not answer may have the item that the others do not.
    parts[1].freeze();
    let (status, _, problem) =
        raw(composition.port, "/similar", "x-request-timeout-ms: 1000\r\n", &json!({"item": "books2"}));
    assert_eq!(status, 503, "{problem}");
    parts[1].signal("-CONT");
}

/// The parts of all users, in batches.
fn assigned(composition: &Process, users: usize) -> Vec<String> {
    let mut assigned = Vec::with_capacity(users);
    for first in (0..users).step_by(100) {
        let requests: Vec<Value> =
            (first..first + 100).map(|user| json!({"user": format!("u{user}"), "n": 1})).collect();
        let (status, _, answer) = raw(composition.port, "/recommend:batch", "", &json!({"requests": requests}));
        assert_eq!(status, 200, "{answer}");
        for response in answer["responses"].as_array().unwrap() {
            let variant = response["model"]["variant"].as_str().unwrap();
            assert_eq!((names(response), origins(response)), (vec![variant], vec![variant]));
            assigned.push(variant.to_owned());
        }
    }
    assigned
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_keeps_each_of_100000_users_in_one_part_across_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts(directory.path()).await;
    let before = assigned(&start(directory.path(), &parts, &split()), 100_000);
    let mut counts = BTreeMap::<&str, u32>::new();
    for part in &before {
        *counts.entry(part.as_str()).or_default() += 1;
    }
    for (part, expected) in PARTS.iter().zip([50_000_u32, 30_000, 20_000]) {
        assert!(counts[part].abs_diff(expected) <= 500, "{part}: {}", counts[part]);
    }
    assert!(assigned(&start(directory.path(), &parts, &split()), 100_000) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_is_swapped_in_and_selects_parts() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts(directory.path()).await;
    let switch = json!({"switch": {
        "header": "x-recmesh-segment", "cases": [{"value": "readers", "part": "books"}], "default": "games",
    }});
    let composition = start(directory.path(), &parts, &switch);
    let body = json!({"user": "user6", "n": 3, "explain": true});
    assert_eq!(names(&ask(&composition, "", &body)), ["games"]);
    let answer = ask(&composition, "x-recmesh-segment: readers\r\n", &body);
    assert_eq!((names(&answer), &answer["model"]["variant"]), (vec!["books"], &json!("books")));
    assert!(answer["items"][0]["explanation"].is_object(), "{answer}");
    // Without the part of the case, the default answers.
    parts[1].freeze();
    let answer = ask_without_frozen(&composition, "x-recmesh-segment: readers\r\n", &body, &["games"]);
    assert_eq!(answer["missingParts"], json!(["books"]), "{answer}");

    let cascade = |min_items: u32| json!({"cascade": {"parts": ["books", "films"], "minItems": min_items}});
    configure(directory.path(), &parts, &cascade(1));
    let revision = |process: &Process| {
        let (_, text) = request(process.port, "GET", "/model", "").unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    wait_for("the cascade", || revision(&composition)["composition"].get("cascade").is_some());
    let body = json!({"user": "user6", "n": 3});
    let answer = ask_without_frozen(&composition, "", &body, &["films"]);
    assert_eq!(answer["missingParts"], json!(["books"]), "{answer}");
    parts[1].signal("-CONT");
    wait_for("the first part", || names(&ask(&composition, "", &body)) == ["books"]);
    // No part has that many items: the first of equally long lists is the best.
    configure(directory.path(), &parts, &cascade(1000));
    wait_for("the cascade", || revision(&composition)["composition"]["cascade"]["minItems"] == 1000);
    let many = json!({"user": "user6", "n": 1000});
    assert_eq!(names(&ask(&composition, "", &many)), ["books"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_a_part_sees_the_headers_of_the_request() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts(directory.path()).await;
    let switch = json!({"switch": {
        "header": "x-recmesh-segment", "cases": [{"value": "readers", "part": "books"}], "default": "games",
    }});
    let inner = start(directory.path(), &parts, &switch);
    let outer = start_nested(directory.path(), &inner);
    let body = json!({"user": "user6", "n": 3});
    assert_eq!(origins(&ask(&outer, "", &body)), ["games"]);
    assert_eq!(origins(&ask(&outer, "x-recmesh-segment: readers\r\n", &body)), ["books"]);
    let many = "x-recmesh-segment: a\r\n".repeat(17);
    let (status, _, problem) = raw(outer.port, "/recommend", &many, &body);
    assert!(status == 400 && problem["detail"].as_str().unwrap().starts_with("headers x-recmesh-*"), "{problem}");

    // The parts of a retry are asked once.
    drop(parts);
    let sent = || inner.metric("recommender_part_tries_total", "part=\"games\"");
    let before = sent();
    assert_eq!(raw(inner.port, "/recommend", "x-recmesh-attempt: 2\r\n", &body).0, 503);
    assert!(sent() - before < 1.5, "{} tries", sent() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_client_goes_away_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts(directory.path()).await;
    let composition = start(directory.path(), &parts, &blend());
    parts[1].freeze();
    let body = json!({"user": "user6"}).to_string();
    let request = Pending::send(composition.port, &body).await;
    let count = |metric: &str, labels: &str| composition.metric(metric, labels);
    wait_for("an answer of another part", || {
        count("recommender_part_requests_total", "outcome=\"answered\",part=\"films\"") >= 1.0
    });
    request.abandon().await;
    for metric in ["recommender_part_requests_total", "recommender_part_tries_total"] {
        wait_for(metric, || count(metric, "outcome=\"cancelled\",part=\"books\"") >= 1.0);
    }
    parts[1].signal("-CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_part_is_no_failure_of_the_composition() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = parts(directory.path()).await;
    let composition = start(directory.path(), &parts, &split());
    let outer = start_nested(directory.path(), &composition);
    let user_of = |part: &str| {
        let mut users = (0..).map(|user| json!({"user": format!("u{user}"), "n": 3}));
        users.find(|body| names(&ask(&composition, "", body)) == [part]).unwrap()
    };
    let (without, with) = (user_of("books"), user_of("films"));
    let proxy = start_proxy(directory.path(), &[composition.port]);
    let via_proxy = |body: &Value| {
        let (status, head, answer) = raw(proxy.port, "/recommend", "", body);
        assert_eq!(status, 200, "{answer}");
        let by = head.lines().find_map(|line| line.strip_prefix("x-recmesh-answered-by: "));
        by.unwrap_or_default().to_owned()
    };
    wait_for("an answer of the composition", || via_proxy(&without) == "serving-pod");

    drop(parts.remove(1));
    // More than eject a pod.
    for _ in 0..30 {
        assert_eq!(via_proxy(&without), "last-answer");
    }
    assert_eq!(via_proxy(&with), "serving-pod");
    assert!(proxy.metric("recommender_proxy_ejections_total", "") < 1.0);
    assert!(proxy.metric("recommender_proxy_retries_total", "") < 1.0);
    assert!(proxy.metric("recommender_proxy_tries_total", "parts-failed") >= 30.0);

    // A composition of compositions states it, too.
    for process in [&composition, &outer] {
        let (status, head, problem) = raw(process.port, "/recommend", "", &without);
        assert!(status == 503 && head.contains("x-recmesh-parts-failed: true"), "{head} {problem}");
        assert_eq!(raw(process.port, "/recommend", "", &with).0, 200);
    }
    assert!(outer.metric("recommender_part_ejections_total", "") < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_revision_is_answered_with_409_and_the_current_one() {
    let directory = tempfile::tempdir().unwrap();
    let parts = parts(directory.path()).await;
    let composition = start(directory.path(), &parts, &blend());
    let body = json!({"user": "user6"});
    let batch = json!({"requests": [body]});
    for process in [&parts[0], &composition] {
        let revision = ask(process, "", &body)["model"]["revision"].as_str().unwrap().to_owned();
        for (path, body) in [("/recommend", &body), ("/recommend:batch", &batch)] {
            assert_eq!(raw(process.port, path, &format!("if-revision: {revision}\r\n"), body).0, 200);
            let (status, head, problem) = raw(process.port, path, "if-revision: 0000000000\r\n", body);
            assert_eq!((status, &problem["type"]), (409, &json!("urn:recmesh:problem:other-revision")), "{problem}");
            assert!(head.contains(&format!("x-model-revision: {revision}")), "{head}");
            assert_eq!(raw(process.port, path, "if-revision: a b\r\n", body).0, 400);
        }
    }
}

//! The running process: swaps under load, limits of the serving config, the metrics text, and
//! SIGTERM.

use std::{collections::BTreeSet, io::Write as _, process::Command};

use sidecar_contract::ServingLimits;

use crate::{
    model::train,
    process::{configure, file_store, put, recommend, request, start, wait_for},
    sockets::{self, read_all, send, slow_request},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_from_the_first_model_through_a_swap_to_the_drain() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = file_store(at);
    let (first, second) = (put(&store, &train(at, 3).await).await, put(&store, &train(at, 4).await).await);
    let mut process = start(at);
    let (port, admin_port) = (process.port, process.admin_port);
    assert_eq!(request(admin_port, "GET", "/readyz", "").unwrap().0, 503);
    configure(at, &store, std::slice::from_ref(&first), ServingLimits::default());
    wait_for("readiness", || request(admin_port, "GET", "/readyz", "").unwrap().0 == 200);

    let (first_name, second_name) = (first.digest.revision().to_owned(), second.digest.revision().to_owned());
    let mut seen = BTreeSet::new();
    assert_eq!(recommend(port, 5).0, 200);
    configure(
        at,
        &store,
        std::slice::from_ref(&second),
        ServingLimits { items_per_answer_max: 7, ..ServingLimits::default() },
    );
    wait_for("the second revision", || {
        let (status, answer) = recommend(port, 5);
        assert_eq!(status, 200, "{answer}");
        let revision = answer["model"]["revision"].as_str().unwrap().to_owned();
        assert!(revision == first_name || revision == second_name, "{answer}");
        seen.insert(revision.clone());
        revision == second_name
    });
    assert!(seen.contains(&second_name));

    // The limit of the config applies.
    let (status, problem) = recommend(port, 8);
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("from 1 to 7"), "{problem}");

    // The text format: every series has a type, and none has the first revision or a user as a
    // label.
    let (_, metrics) = request(admin_port, "GET", "/metrics", "").unwrap();
    let mut typed = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.insert(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(typed.contains(name) || typed.contains(family), "{line}");
            assert!(name.starts_with("recommender_"), "{line}");
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
    assert!(metrics.contains(&format!("recommender_model_info{{algorithm=\"als\",revision=\"{second_name}\"}} 1")));
    assert!(!metrics.contains("user6"), "{metrics}");
    assert!(!metrics.contains(&format!("recommender_model_users{{revision=\"{first_name}\"}}")), "{metrics}");

    // SIGTERM: unready at once, a request that is in flight is still served, and the process exits.
    let request_in_flight = slow_request();
    let (first, rest) = request_in_flight.split_at(request_in_flight.len() - 5);
    let (mut in_flight, _) = send(&process, first.as_bytes());
    assert!(Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status().unwrap().success());
    wait_for("unreadiness", || request(admin_port, "GET", "/readyz", "").is_none_or(|(status, _)| status == 503));
    in_flight.write_all(rest.as_bytes()).unwrap();
    let answer = read_all(&mut in_flight);
    assert_eq!(sockets::status(&answer), 200, "{answer}");
    wait_for("the exit", || process.child.try_wait().unwrap().is_some());
    assert!(process.child.wait().unwrap().success());
}

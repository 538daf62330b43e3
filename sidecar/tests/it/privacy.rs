//! No user ids in logs and metrics: distinctive ids pass through every endpoint and every error
//! path of the real binary at its default log level, and must not occur in its output.

use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, Output},
};

use recommender_trainer::local_config;
use sidecar_contract::{Algorithm, AlsConfig, RunId, RunOutcome, ServingLimits, TrainingConfig, canonical_json};
use store_client::Store;

use crate::process::{configure, file_store, put, request, request_as, start, wait_for};

/// Part of every user id in these tests, and of no other text.
const SECRET: &str = "hushhush";

fn assert_no_user(what: &str, text: &str) {
    assert!(!text.to_lowercase().contains(SECRET), "{what} contains a user id: {text}");
}

fn train(config: &TrainingConfig, directory: &Path) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"))
        .arg("train")
        .env(sidecar_contract::paths::TRAINING_CONFIG_ENV, canonical_json(config))
        .env("TMPDIR", directory)
        .output()
        .unwrap();
    assert_no_user("the trainer's log", &String::from_utf8_lossy(&output.stderr));
    assert_no_user("the trainer's output", &String::from_utf8_lossy(&output.stdout));
    output
}

fn rows() -> String {
    let mut rows = "user_id,item_id,rating\n".to_owned();
    for user in 0..60 {
        for item in (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            writeln!(rows, "{SECRET}{user},item{item},1").unwrap();
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_metrics_and_run_results_contain_no_user_ids() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = file_store(at);
    let data = at.join("rows.csv");
    // Valid rows, and invalid rows of every kind.
    let bad = format!(
        "{SECRET}a,item1,many\n{SECRET}b,,1\n,item1,1\n{SECRET}{},item1,1\n{SECRET}c,item1,1,{SECRET}\n{SECRET}d\n{SECRET}e,item1,NaN\n",
        "x".repeat(3000)
    );
    std::fs::write(&data, format!("{}{bad}", rows())).unwrap();
    let mut config = local_config(&data);
    config.algorithm = Algorithm::Als(AlsConfig { factors: 4, iterations: 3, ..AlsConfig::WIRE_DEFAULT });
    config.store = store.clone();
    config.run = RunId { number: 1, attempt: "0123456789".into() };
    let trained = train(&config, at);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let result = Store::open(&store, None).unwrap().get_run(&config.run).await.unwrap();
    assert_no_user("the run result", &canonical_json(&result));
    let RunOutcome::Trained { digest, .. } = result.outcome else { panic!("{result:?}") };
    let model = at.join("store/1b2c/shop/movies/snapshots").join(format!("{digest}.safetensors"));

    // Runs that fail, one for each reason that is about rows.
    let failing = [
        format!("user_id,item_id\n\"{SECRET}1,item1\n{SECRET}2,item2\n"),
        format!("visitor,item_id\n{SECRET}1,item1\n"),
        format!("user_id,item_id\n{SECRET}1\n{SECRET}2\n{SECRET}3\n"),
        format!("user_id,item_id,rating\n{SECRET}1,item1,many\n{SECRET}2,item1,few\n"),
        format!("user_id,item_id\n{SECRET}1,item1\n"),
    ];
    let mut failed = 0;
    for (text, number) in failing.into_iter().zip(2..) {
        std::fs::write(&data, text).unwrap();
        config.run = RunId { number, attempt: "0123456789".into() };
        failed += u32::from(!train(&config, at).status.success());
        if let Ok(result) = Store::open(&store, None).unwrap().get_run(&config.run).await {
            assert_no_user("the run result", &canonical_json(&result));
        }
    }
    assert!(failed >= 3, "{failed} runs failed");

    let process = start(at);
    let revision = put(&store, &model).await;
    configure(at, &store, std::slice::from_ref(&revision), ServingLimits::default());
    wait_for("readiness", || process.is_ready());
    let oversized = format!("{{\"user\":\"{SECRET}{}\"}}", "x".repeat(2000));
    let json = [
        ("/recommend", format!("{{\"user\":\"{SECRET}6\",\"n\":5}}"), 200),
        ("/recommend", format!("{{\"user\":\"{SECRET}-unknown\",\"history\":[{{\"item\":\"item2\"}}]}}"), 200),
        ("/recommend:batch", format!("{{\"requests\":[{{\"user\":\"{SECRET}6\"}},{{\"user\":\"{SECRET}7\"}}]}}"), 200),
        (
            "/recommend:batch",
            format!("{{\"requests\":[{{\"user\":\"{SECRET}6\"}},{{\"user\":{{\"{SECRET}\":1}}}}]}}"),
            400,
        ),
        ("/recommend", format!("{{\"{SECRET}\":1}}"), 400),
        ("/recommend", format!("{{\"user\":\"{SECRET}\",\"n\":\"{SECRET}\"}}"), 400),
        ("/recommend", format!("{{\"user\":\"{SECRET}"), 400),
        (
            "/recommend",
            format!(
                "{{\"user\":\"{SECRET}\",\"history\":[{{\"item\":\"item2\",\"rating\":1e38}},{{\"item\":\"item2\",\"rating\":-3e38}}]}}"
            ),
            0,
        ),
        ("/recommend", oversized, 400),
        ("/similar", format!("{{\"item\":\"{SECRET}\"}}"), 404),
        (&format!("/{SECRET}"), String::new(), 404),
        (&format!("/recommend?user={SECRET}"), String::new(), 400),
    ];
    for (path, body, expected) in &json {
        let (status, answer) = request(process.port, "POST", path, body).unwrap();
        assert!(*expected == 0 || status == *expected, "{path} {body}: {status} {answer}");
    }
    let form = |body: String| {
        request_as(process.port, "POST", "/recommend", "application/x-www-form-urlencoded", &body).unwrap().0
    };
    assert_eq!(form(format!("user_id={SECRET}6&items=item1&ratings=2")), 200);
    assert_eq!(form(format!("user_id={SECRET}6&user_id={SECRET}7")), 400);
    assert_eq!(form(format!("user_id={SECRET}%ff")), 400);
    assert_eq!(request_as(process.port, "POST", "/recommend", &format!("text/{SECRET}"), "").unwrap().0, 415);
    let (_, metrics) = request(process.admin_port, "GET", "/metrics", "").unwrap();
    assert!(metrics.contains("recommender_http_requests_total"));
    assert_no_user("/metrics", &metrics);
    assert_no_user("/model", &request(process.admin_port, "GET", "/model", "").unwrap().1);
    // The failure of a model load is reported without user ids.
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    std::fs::remove_dir_all(at.join("cache")).unwrap();
    drop(process);
    let process = start(at);
    wait_for("the failure", || process.report().failure.is_some());
    drop(process);
    let log = std::fs::read_to_string(at.join("sidecar.log")).unwrap();
    assert!(log.contains("applied a serving config"), "{log}");
    assert_no_user("the log", &log);
}

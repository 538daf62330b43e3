//! The file of a model is overwritten and truncated while it is served.

use serde_json::{Value, json};

use crate::{
    model::{train, train_with_items},
    process::{Process, request, start_with, wait_for},
};

/// The lists of some users.
fn lists(process: &Process) -> Vec<Value> {
    let list = |user: usize| {
        let body = json!({"user": format!("user{user}"), "n": 5}).to_string();
        let (status, body) = request(process.port, "POST", "/recommend", &body).expect("the process is alive");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["items"].clone()
    };
    (0..20).map(list).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_do_not_change_when_the_model_file_is_overwritten_and_truncated() {
    let directory = tempfile::tempdir().unwrap();
    let model = train(directory.path(), 4).await;
    let other = std::fs::read(train_with_items(directory.path(), 4, "other").await).unwrap();
    let process = start_with(directory.path(), &["--model", model.to_str().unwrap()]);
    wait_for("readiness", || process.is_ready());
    let before = lists(&process);
    assert!(before[0][0]["id"].as_str().unwrap().starts_with("item"), "{before:?}");
    // The same file gets other bytes, as with `cp`.
    std::fs::write(&model, other).unwrap();
    assert_eq!(lists(&process), before);
    std::fs::write(&model, "").unwrap();
    assert_eq!(lists(&process), before);
}

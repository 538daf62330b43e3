//! The run report on the admin port: rendered from the run result in the store, with an error
//! status if there is none.

use serde_json::json;
use sidecar_contract::{RunResult, ServingLimits};
use store_client::Store;

use crate::process::{configure, file_store, request, start, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_a_report_while_its_result_is_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = file_store(at);
    let process = start(at);
    let report = "/reports/0000000007-0123456789.html";
    let get = |path: &str| request(process.admin_port, "GET", path, "").unwrap();
    assert_eq!(get(report).0, 503, "no serving config yet");
    configure(at, &store, &[], ServingLimits::default());
    wait_for("a response from the store", || get(report).0 == 404);
    let result: RunResult = serde_json::from_value(json!({
        "version": 1, "run": {"number": 7, "attempt": "0123456789"}, "dataVersion": "v1", "startedAt": 1, "finishedAt": 2,
        "configHash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "outcome": {"kind": "failed", "reason": "DataInvalid", "message": "no <column>"},
    }))
    .unwrap();
    Store::open(&store, None).unwrap().create_run(&result).await.unwrap();
    let (status, html) = get(report);
    assert_eq!(status, 200, "{html}");
    let subject = run_report::Subject { namespace: "shop", name: "movies", gate: None };
    assert_eq!(html, run_report::render_served(&result, subject));
    assert!(html.contains("<form action=\"/items\">"), "{html}");
    for path in ["/reports/", "/reports/7.html", "/reports/..%2f..%2fsnapshots.html", "/reports/0000000007-0123456789"]
    {
        assert_eq!(get(path).0, 404, "{path}");
    }
}

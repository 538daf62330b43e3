//! The page contains the result's numbers, escapes all strings of the result, and loads no external
//! resources.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use run_report::Subject;
use serde_json::{Value, json};
use sidecar_contract::{Gate, RunResult};

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn result(outcome: &Value) -> RunResult {
    serde_json::from_value(json!({
        "version": 1, "run": {"number": 12, "attempt": "0123456789"}, "configHash": DIGEST, "dataVersion": "v<1>",
        "startedAt": 1_764_000_000, "finishedAt": 1_764_000_059, "outcome": outcome,
        "rows": {"read": 1_000_000, "kept": 990_000, "merged": 123, "dropped": {"emptyUser": 9000, "<script>": 1000},
            "reinterpreted": {"paddedId": 500_000}},
    }))
    .unwrap()
}

fn trial(regularization: f64, value: Option<f64>) -> Value {
    json!({"iterationsRun": 15, "value": value, "parameters": {"als": {"regularization": regularization}}})
}

fn trained() -> RunResult {
    let groups: Vec<Value> = (0..10)
        .map(|n| json!({"rowsMin": n, "rowsMax": n + 1, "users": 10, "model": 0.1 * f64::from(n), "baseline": 0.05}))
        .collect();
    let parameters = json!({"als": {
        "factors": 32, "iterations": 4, "regularization": 0.03, "regularizationExponent": 1.0, "unobservedWeight": 0.1,
    }});
    let used = json!({"iterationsRun": 4, "value": 0.46, "standardErrorsBelowBest": 0.8, "parameters": parameters});
    result(&json!({
        "kind": "trained", "digest": DIGEST, "snapshotBytes": 4096, "algorithm": "als", "users": 5000, "items": 300,
        "interactions": 98765, "objective": [9.5, 4.25, 4.0, 3.9], "parameters": parameters,
        "trials": [trial(0.04, Some(0.4694)), used, trial(0.003, Some(0.2432)), trial(1e3, None)],
        "search": {"fits": 9, "stoppedByTime": true},
        "metrics": {
            "metric": "ndcg", "k": 10, "split": "leaveLastOut", "testUsers": 4321, "model": {"ndcg": 0.5172, "recall": 0.61, "coverage": 0.7},
            "baseline": {"ndcg": 0.3911, "recall": 0.5, "coverage": 0.1},
            "lift": {"estimate": 0.322, "low": 0.281, "high": 0.364}, "byActivity": groups,
        },
    }))
}

/// The page is well-formed XML except for its doctype, the void element `meta`, and character
/// references: tags are properly nested.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>\n").unwrap();
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        let name = tag.split(' ').next().unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{tag}");
        } else if name != "meta" && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn trained_run_shows_its_numbers() {
    let page = run_report::render(&trained(), None);
    assert_well_formed(&page);
    for shown in [
        "Run 12",
        "2025-11-24 16:00 UTC",
        "after 59 s",
        "measured on the newest row of each user, lists of 10",
        "+32.2 %",
        "+28.1 %",
        "+36.4 %",
        "0.5172",
        "0.3911",
        "0.7000",
        "98\u{202f}765",
        "1\u{202f}000\u{202f}000",
        "990\u{202f}000 (99.0 %)",
        "dropped: emptyUser",
        "reinterpreted: paddedId",
        "500\u{202f}000 (50.0 %)",
        "e3b0c44298",
        "6.584 %",
        "Quality on the held-out set",
        "Objective by iteration",
        "4 iterations, from 9.5 to 3.9",
        "4 sets of parameters in 9 fits, best first",
        "The run uses number 2, the simplest one within one standard error of the best.",
        "The time budget ended the search",
        "<td class=\"n\">2, used</td><td class=\"n\">0.4600</td><td class=\"n\">0.8</td>",
        "metric by regularization of each trial",
        "metric by factors of each trial",
        "0.4694",
        "failed",
    ] {
        assert!(page.contains(shown), "{shown} is not in the page");
    }
    assert_eq!(page.matches("<svg").count(), 6);
}

#[test]
fn a_search_over_several_algorithms_shows_what_was_tried_and_what_was_not() {
    let trial = |parameters: Value, value: f64| json!({"iterationsRun": 10, "value": value, "parameters": parameters});
    let svd = json!({"svd": {"factors": 16, "degreeExponent": 0.25}});
    let outcome = |trials: Value, search: Value| {
        json!({
            "kind": "trained", "digest": DIGEST, "snapshotBytes": 4096, "algorithm": "svd", "users": 50, "items": 30,
            "interactions": 987, "parameters": svd, "trials": trials, "search": search,
        })
    };
    let limited = json!([
        {"name": "bpr", "reason": "it <learns> from chosen items"},
        {"name": "als", "factorsMax": 8, "reason": "it needs about 9 MiB"},
    ]);
    let trials = json!([trial(json!({"als": {"factors": 8}}), 0.25), trial(svd.clone(), 0.24)]);
    let page = run_report::render(&result(&outcome(trials, json!({"fits": 5, "limited": limited}))), None);
    assert_well_formed(&page);
    for shown in [
        "2 sets of parameters in 5 fits, best first",
        "The run uses number 2, the simplest one",
        "<p>bpr: not tried, because it &lt;learns&gt; from chosen items.</p>",
        "<p>als: tried with at most 8 factors, because it needs about 9 MiB.</p>",
        "metric of each trial by algorithm",
        "<th class=\"n\">algorithm</th>",
        "<td class=\"n\">2, used</td>",
    ] {
        assert!(page.contains(shown), "{shown} is not in the page");
    }
    let page = run_report::render(&result(&outcome(json!([]), json!({"fits": 0}))), None);
    assert_well_formed(&page);
    assert!(page.contains("Too few rows to compare parameters on: the defaults are used."));
}

#[test]
fn recent_popularity_and_the_reference_of_a_comparison_are_shown() {
    let metrics = |reference: &str| {
        json!({
            "metric": "ndcg", "k": 10, "split": "time", "testUsers": 4321, "model": {"ndcg": 0.5172},
            "baseline": {"ndcg": 0.3911}, "lift": {"estimate": 0.322, "low": 0.281, "high": 0.364},
            "recentBaseline": {
                "since": 1_764_000_000, "measurement": {"ndcg": 0.4444}, "lift": {"estimate": 0.164, "low": 0.12, "high": 0.21},
            },
            "incumbent": {
                "digest": DIGEST, "reference": reference, "testUsers": 1234,
                "lift": {"estimate": 0.011, "low": -0.015, "high": 0.04},
            },
        })
    };
    let page = run_report::render(&measured(metrics("revision")), None);
    assert_well_formed(&page);
    for shown in [
        "<th class=\"n\">Recent popularity</th>",
        "<td class=\"n\">0.4444</td>",
        "since 2025-11-24 16:00 UTC",
        "the model is +16.4 % (95 % interval +12.0 % to +21.0 %)",
        "Compared with the serving revision e3b0c44298 on rows that are newer than its own: +1.1 %",
        "1\u{202f}234 test users",
    ] {
        assert!(page.contains(shown), "{shown} is not in the page");
    }
    let parameters = "Compared with the parameters of the serving revision e3b0c44298, fitted to the same rows: +1.1 %";
    assert!(run_report::render(&measured(metrics("parameters")), None).contains(parameters));
    // A word of a newer trainer.
    let page = run_report::render(&measured(metrics("<b>")), None);
    assert!(page.contains("the serving revision e3b0c44298 (&lt;b&gt;)"));
}

fn subject(min_lift_over_baseline: f64) -> Subject<'static> {
    Subject { namespace: "shop", name: "movies", gate: Some(Gate { min_lift_over_baseline, max_regression: None }) }
}

/// The trained run with these metrics instead of its own.
fn measured(metrics: Value) -> RunResult {
    let mut result = serde_json::to_value(trained()).unwrap();
    *result.pointer_mut("/outcome/metrics").unwrap() = metrics;
    serde_json::from_value(result).unwrap()
}

#[test]
fn a_gate_shows_its_verdict_and_what_to_do() {
    let rated = json!({
        "metric": "rmse", "k": 10, "testUsers": 150, "model": {"rmse": 0.912}, "baseline": {"rmse": 0.935},
        "lift": {"estimate": 0.025, "low": -0.005, "high": 0.051},
    });
    let page = run_report::render(&measured(rated.clone()), Some(subject(0.0)));
    assert_well_formed(&page);
    for shown in [
        "<title>movies: run 12</title>",
        "<h1>movies: run 12</h1>",
        "namespace shop, finished",
        "the lift of rmse, lower is better",
        "RMSE, lower is better",
        "Not passed: the lower bound is \u{2212}0.5 %, +0.0 % is required.",
        "kubectl -n shop patch recommender movies --type merge -p &#39;{&quot;spec&quot;:{&quot;evaluation&quot;:{&quot;gate&quot;:{&quot;minLiftOverBaseline&quot;:-0.01}}}}&#39;",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    let passed = run_report::render(&measured(rated), Some(subject(-0.01)));
    assert!(passed.contains("Passed: the lower bound is \u{2212}0.5 %.") && !passed.contains("kubectl"), "{passed}");
    let unmeasured = run_report::render(&measured(Value::Null), Some(subject(0.0)));
    assert!(unmeasured.contains("Not decided: there is no comparison"), "{unmeasured}");
}

/// Width of the widest table, by the width of its header: 8.5 px a character at 16 px (the average
/// of Latin text in common system fonts), and the padding.
#[test]
fn tables_fit_a_window_of_1100_px() {
    let page = run_report::render(&trained(), Some(subject(0.0)));
    let width_max: f64 = page.split("main{max-width:").nth(1).unwrap().split("rem").next().unwrap().parse().unwrap();
    assert!(16.0 * width_max <= 1100.0);
    for table in page.split("<tr>").filter(|row| row.starts_with("<th")) {
        let header = table.split("</tr>").next().unwrap();
        let cells: Vec<&str> = header.split("</th>").filter_map(|cell| cell.rsplit('>').next()).collect();
        let width: f64 = cells.iter().map(|cell| 8.5 * cell.chars().count() as f64 + 12.8).sum();
        assert!(width < 16.0 * width_max - 40.0, "{width} px: {cells:?}");
    }
}

#[test]
fn failed_run_shows_how_to_fix_it() {
    let page = run_report::render(
        &result(&json!({
            "kind": "failed", "reason": "DataInvalid", "message": "no column <b>\"user\"</b>; set spec.data.columns.user",
        })),
        None,
    );
    assert_well_formed(&page);
    assert!(
        page.contains(
            "No model: DataInvalid. no column &lt;b&gt;&quot;user&quot;&lt;/b&gt;; set spec.data.columns.user."
        )
    );
}

#[test]
fn page_has_no_scripts_and_no_external_resources() {
    let empty = json!({
        "kind": "trained", "digest": DIGEST, "snapshotBytes": 0, "algorithm": "als", "users": 0, "items": 0,
        "interactions": 0, "objective": [],
    });
    for result in [trained(), result(&empty), result(&json!({"kind": "unchanged"}))] {
        let page = run_report::render(&result, Some(subject(-0.1)));
        assert_well_formed(&page);
        for forbidden in ["<script", "http:", "https:", "url(", "@import", "src=", "href=", "NaN", "inf"] {
            assert!(!page.contains(forbidden), "{forbidden} is in {page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("v&lt;1&gt;"));
        assert!(page.len() < 100_000);
    }
}

//! The report of a run, printed without a serving pod.

use recommender_operator::report;
use serde_json::json;

use crate::cluster::Cluster;

#[tokio::test]
async fn the_report_of_a_failed_first_run_needs_no_serving_pod() {
    let cluster = Cluster::with_movies(&json!({}));
    let render = |run| report::render(&cluster.context, "shop", "movies", run);
    let none = render(None).await.unwrap_err().to_string();
    assert_eq!(none, "no run of Recommender shop/movies has a result yet");
    let failed = json!({
        "version": 1, "run": {"number": 1, "attempt": "0123456789"}, "dataVersion": "v1", "startedAt": 1, "finishedAt": 2,
        "configHash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "outcome": {"kind": "failed", "reason": "DataInvalid", "message": "no column instock"},
    });
    cluster.store("movies").create_run(&serde_json::from_value(failed).unwrap()).await.unwrap();
    for run in [None, Some(1)] {
        let page = render(run).await.unwrap();
        assert!(page.contains("<h1>movies: run 1</h1>") && page.contains("no column instock"), "{page}");
    }
    let missing = render(Some(7)).await.unwrap_err().to_string();
    assert_eq!(missing, "there is no such run; the runs with a result are 1");
    let nobody = report::render(&cluster.context, "shop", "songs", None).await.unwrap_err().to_string();
    assert_eq!(nobody, "Recommender shop/songs does not exist");
}

//! Recommenders at rest cost almost no requests, and leave rest as soon as something changes. The
//! time of tokio is paused, so that hours end immediately.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::{Cluster, RunningController, core, deployment, job, recommender},
    fake_api::FakeApi,
    reconcile::serving,
};

/// The goal: 2,000 Recommenders at rest cost at most 5 requests a second, of which the renewal of
/// the lease takes two every three seconds.
const REQUESTS_PER_SECOND_MAX: f64 = 5.0 - 2.0 / 3.0;
const FLEET: f64 = 2000.0;

/// Waits, in the time of tokio, until something is true.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < Duration::from_hours(1), "{what}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// A cluster whose controller runs, with trained Recommenders at rest. They have no serving pods,
/// which would need real connections.
async fn at_rest(names: &[&str]) -> (Cluster, RunningController) {
    let cluster = Cluster::new();
    for name in names {
        cluster.create(name, &json!({"serving": {"replicas": 0}}));
    }
    let controller = cluster.start_controller();
    for name in names {
        until("the run starts", || !cluster.api.get(&job(name, 1)).is_null()).await;
        cluster.finish_run(name, 1, "a").await;
        until("the Recommender is ready", || cluster.condition(name, "Ready").0 == "True").await;
    }
    sleep(Duration::from_hours(1)).await;
    cluster.api.take_reads();
    cluster.api.take_writes();
    (cluster, controller)
}

#[tokio::test(start_paused = true)]
async fn a_fleet_at_rest_costs_few_requests_and_no_writes() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let (cluster, _controller) = at_rest(&names).await;
    let duration = Duration::from_hours(24);
    sleep(duration).await;
    assert_eq!(cluster.api.take_writes(), [""; 0]);
    let reads = cluster.api.take_reads();
    let for_each = reads.len() as f64 / names.len() as f64;
    let rate = for_each / duration.as_secs_f64() * FLEET;
    assert!(rate <= REQUESTS_PER_SECOND_MAX, "{rate:.2} requests/s");
    assert!(!reads.is_empty(), "changes that a watch has missed are found");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_child_of_each_watched_kind_is_repaired_within_seconds() {
    let (cluster, _controller) = at_rest(&["movies"]).await;
    for path in [
        core("serviceaccounts", "movies"),
        core("configmaps", "movies-serving"),
        core("services", "movies"),
        core("services", "movies-pods"),
        deployment("movies"),
        deployment("movies").replace("/apps/v1/", "/networking.k8s.io/v1/").replace("deployments", "networkpolicies"),
        deployment("movies").replace("/apps/v1/", "/policy/v1/").replace("deployments", "poddisruptionbudgets"),
    ] {
        assert!(!cluster.api.get(&path).is_null(), "{path}");
        let begin = Instant::now();
        cluster.api.delete(&path);
        until(&format!("{path} is repaired"), || !cluster.api.get(&path).is_null()).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{path}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_recommender_ends_its_rest() {
    type Change = (&'static str, fn(&mut Value), fn(&Cluster) -> bool);
    let changes: [Change; 3] = [
        ("spec", |r| r["spec"]["serving"] = json!({"replicas": 2}), |c| replicas(&c.api) == json!(2)),
        (
            "annotation",
            |r| r["metadata"]["annotations"] = json!({"recmesh.dev/retrain-at": "now"}),
            |c| !c.api.get(&job("movies", 2)).is_null(),
        ),
        ("status", |r| r["status"] = Value::Null, |c| !c.api.get(&recommender("movies"))["status"].is_null()),
    ];
    for (what, change, is_handled) in changes {
        let (cluster, _controller) = at_rest(&["movies"]).await;
        let begin = Instant::now();
        cluster.edit("movies", change);
        until(what, || is_handled(&cluster)).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{what}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_a_watch_has_missed_is_found_by_the_next_resync() {
    let (cluster, _controller) = at_rest(&["movies"]).await;
    cluster.api.silence(true);
    cluster.edit("movies", |movies| movies["spec"]["serving"] = json!({"replicas": 2}));
    cluster.api.silence(false);
    let begin = Instant::now();
    until("the Deployment is scaled", || replicas(&cluster.api) == json!(2)).await;
    let resync = cluster.context.installation.settings.resync();
    assert!(begin.elapsed() <= resync + resync / 5, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lost_secret_is_repaired_when_a_pod_changes() {
    let (cluster, _controller) = at_rest(&["movies"]).await;
    let path = core("secrets", "movies-store-serve");
    cluster.api.delete(&path);
    cluster.create_pod("movies", "movies-a", "10.0.0.1");
    until("the Secret exists", || !cluster.api.get(&path).is_null()).await;
}

fn replicas(api: &FakeApi) -> Value {
    api.get(&deployment("movies"))["spec"]["replicas"].clone()
}

#[tokio::test]
async fn a_pass_reads_each_object_once() {
    let cluster = serving().await;
    cluster.api.take_reads();
    cluster.pass("movies").await;
    let reads = cluster.api.take_reads();
    let distinct: std::collections::BTreeSet<&String> = reads.iter().collect();
    assert_eq!((reads.len(), distinct.len()), (13, 13), "{reads:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_costs_no_passes_until_it_is_back() {
    let (cluster, _controller) = at_rest(&["movies"]).await;
    let (store, moved) = (cluster.store_directory().join("1b2c"), cluster.store_directory().join("moved"));
    std::fs::rename(&store, &moved).unwrap();
    std::fs::write(&store, "not a directory").unwrap();
    // As after a restart: the results are not known.
    cluster.context.cache.retain(&|_| false);
    cluster.edit("movies", |movies| movies["metadata"]["annotations"] = json!({"example.com/a": "b"}));
    until("the outage is reported", || cluster.condition("movies", "Trained").0 == "Unknown").await;
    sleep(Duration::from_hours(1)).await;
    cluster.api.take_reads();
    cluster.api.take_writes();
    sleep(Duration::from_hours(1)).await;
    let reads = cluster.api.take_reads();
    assert!(reads.iter().all(|read| read == "GET recommenders/movies"), "{reads:?}");
    assert_eq!(cluster.api.take_writes(), [""; 0]);
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&moved, &store).unwrap();
    until("the store is back", || cluster.condition("movies", "Trained").0 == "True").await;
}

//! Catalogues apart from the model: the Job, what the serving config announces, and what is held.

use serde_json::{Value, json};
use sidecar_contract::{
    CatalogueConfig, CatalogueResult, CatalogueVersion, Digest, FilterColumn, ItemCounts, RevisionRole, paths,
};

use crate::cluster::{Cluster, recommender};

const JOBS: &str = "/apis/batch/v1/namespaces/shop/jobs/";

fn spec() -> Value {
    json!({"serving": {"replicas": 0}, "data": {
        "source": {"configMap": {"name": "ratings", "key": "ratings.csv"}},
        "items": {
            "source": {"url": "s3://shop/items.csv", "secretRef": {"name": "items-s3"}},
            "filters": [{"column": "genre"}, {"column": "cost", "name": "price", "type": "number"}],
        },
    }})
}

/// The name of the Job of a catalogue that these writes create.
fn created(writes: &[String]) -> Option<String> {
    let names = writes.iter().filter_map(|write| write.strip_prefix("POST jobs/"));
    names.filter(|name| name.contains("-catalogue-")).map(str::to_owned).next()
}

fn config(cluster: &Cluster, job: &str) -> CatalogueConfig {
    let object = cluster.api.get(&format!("{JOBS}{job}"));
    let container = object["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!((&container["name"], &container["args"]), (&json!("catalogue"), &json!(["catalogue"])));
    assert_eq!(container["envFrom"], json!([{"prefix": "RECMESH_ITEMS_", "secretRef": {"name": "items-s3"}}]));
    let env = container["env"].as_array().unwrap();
    let variable = env.iter().find(|variable| variable["name"] == paths::CATALOGUE_CONFIG_ENV).unwrap();
    serde_json::from_str(variable["value"].as_str().unwrap()).unwrap()
}

fn complete(cluster: &Cluster, job: &str) {
    let path = format!("{JOBS}{job}");
    let mut object = cluster.api.get(&path);
    object["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    cluster.api.put(&path, object);
}

/// How many of 60 items a table has available; too few are held unless they are accepted.
async fn finish(cluster: &Cluster, job: &str, table: &str, available: u64) -> CatalogueVersion {
    let config = config(cluster, job);
    let id = CatalogueVersion::new(config.decided_at, &Digest::of(table.as_bytes()));
    let held = available < 30 && config.accepted.as_ref() != Some(&id.hash);
    let store = cluster.store("movies");
    let file = cluster.store_directory().join("catalogue-file");
    std::fs::write(&file, table).unwrap();
    let digest = Digest::of(table.as_bytes());
    let catalogue =
        if held { None } else { Some(store.put_catalogue(&id, &config.revision, &file, &digest).await.unwrap()) };
    let result = CatalogueResult {
        version: 1,
        id: id.clone(),
        spec_hash: config.spec_hash,
        revision: config.revision,
        catalogue,
        items: Some(ItemCounts { items: 60, available, missing: 2, unknown: 1 }),
        held,
        failure: String::new(),
        finished_at: 2,
    };
    store.create_catalogue_result(&result).await.unwrap();
    complete(cluster, job);
    id
}

/// Revision and version of the catalogue of the desired revision.
fn announced(cluster: &Cluster) -> (Digest, Option<String>) {
    desired(cluster).unwrap()
}

/// The same; `None` if no revision is announced.
fn desired(cluster: &Cluster) -> Option<(Digest, Option<String>)> {
    let config = cluster.serving_config("movies");
    let desired = config.revision(RevisionRole::Desired)?;
    Some((desired.digest.clone(), desired.catalogue.as_ref().map(|catalogue| catalogue.version.clone())))
}

fn annotate(cluster: &Cluster, name: &str, value: &str) {
    cluster.edit("movies", |movies| movies["metadata"]["annotations"][name] = json!(value));
}

fn status(cluster: &Cluster) -> Value {
    cluster.api.get(&recommender("movies"))["status"]["catalogue"].clone()
}

/// A Recommender whose first model has a catalogue.
async fn with_catalogue() -> (Cluster, CatalogueVersion) {
    let cluster = Cluster::with_movies(&spec());
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    let job = created(&cluster.pass("movies").await).unwrap();
    assert_eq!(desired(&cluster), None, "the first model does not serve before its catalogue");
    let first = config(&cluster, &job);
    assert_eq!((&first.revision, first.known.as_ref()), (&Digest::of(b"a"), None));
    let names: Vec<String> = first.filters.iter().map(FilterColumn::request_name).collect();
    assert_eq!(names, ["genre", "price"]);
    let version = finish(&cluster, &job, "table 1", 60).await;
    assert_eq!(created(&cluster.pass("movies").await), None);
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(version.to_string())));
    (cluster, version)
}

#[tokio::test]
async fn a_catalogue_is_announced_without_a_new_revision() {
    let (cluster, first) = with_catalogue().await;
    let found = status(&cluster);
    assert_eq!((&found["version"], &found["available"]), (&json!(first.to_string()), &json!(60)));
    assert_eq!((&found["missing"], &found["unknown"]), (&json!(2), &json!(1)));
    cluster.pass("movies").await;
    assert_eq!(cluster.pass("movies").await, [""; 0], "a second pass writes nothing");

    annotate(&cluster, "recmesh.dev/refresh-catalogue", "1");
    let job = created(&cluster.pass("movies").await).unwrap();
    let known = config(&cluster, &job).known.unwrap();
    assert_eq!((known.source.as_str(), known.is_of_revision, known.available), (first.hash.as_str(), true, 60));
    let second = finish(&cluster, &job, "table 2", 59).await;
    assert!(second > first);
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(second.to_string())));
    assert_eq!(status(&cluster)["lastHandledRefresh"], "1");
    assert_eq!(created(&cluster.pass("movies").await), None, "a request is handled once");

    // The Job finds the table unchanged, and commits nothing.
    annotate(&cluster, "recmesh.dev/refresh-catalogue", "2");
    let job = created(&cluster.pass("movies").await).unwrap();
    complete(&cluster, &job);
    assert_eq!(created(&cluster.pass("movies").await), None);
    assert_eq!(status(&cluster)["lastHandledRefresh"], "2");
    assert_eq!(announced(&cluster).1, Some(second.to_string()));
}

#[tokio::test]
async fn a_table_of_titles_alone_gets_one_catalogue() {
    let mut titles = spec();
    let items = &mut titles["data"]["items"];
    items["filters"] = json!([]);
    items["columns"] = json!({"title": "name"});
    let cluster = Cluster::with_movies(&titles);
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    let job = created(&cluster.pass("movies").await).unwrap();
    let version = finish(&cluster, &job, "table 1", 60).await;
    assert_eq!(created(&cluster.pass("movies").await), None);
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(version.to_string())));
}

#[tokio::test]
async fn a_new_revision_is_announced_with_its_catalogue() {
    let (cluster, first) = with_catalogue().await;
    annotate(&cluster, "recmesh.dev/retrain-at", "1");
    cluster.pass("movies").await;
    cluster.finish_run("movies", 2, "b").await;
    let job = created(&cluster.pass("movies").await).unwrap();
    let next = config(&cluster, &job);
    assert_eq!(next.revision, Digest::of(b"b"));
    assert!(!next.known.unwrap().is_of_revision);
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(first.to_string())), "the current model serves until then");
    let second = finish(&cluster, &job, "table 1", 60).await;
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster), (Digest::of(b"b"), Some(second.to_string())));
    let last_good = cluster.serving_config("movies").revision(RevisionRole::LastGood).cloned().unwrap();
    assert_eq!(last_good.catalogue.map(|catalogue| catalogue.version), Some(first.to_string()));
}

#[tokio::test]
async fn a_model_whose_catalogue_cannot_be_made_does_not_replace_the_one_that_serves() {
    let (cluster, first) = with_catalogue().await;
    annotate(&cluster, "recmesh.dev/retrain-at", "1");
    cluster.pass("movies").await;
    cluster.finish_run("movies", 2, "b").await;
    let job = created(&cluster.pass("movies").await).unwrap();
    let path = format!("{JOBS}{job}");
    let mut object = cluster.api.get(&path);
    let failed = json!({"type": "Failed", "status": "True", "message": "the deadline was exceeded"});
    object["status"] = json!({"conditions": [failed]});
    cluster.api.put(&path, object);
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(first.to_string())));
    let (state, reason, message) = cluster.condition("movies", "CatalogueHeld");
    assert_eq!((state.as_str(), reason.as_str()), ("True", "CatalogueNotMade"));
    assert_eq!(message, "failed refreshes in a row: 1; the last one: the deadline was exceeded");
}

#[tokio::test]
async fn a_table_that_takes_out_most_items_is_held_until_it_is_accepted() {
    let (cluster, first) = with_catalogue().await;
    annotate(&cluster, "recmesh.dev/refresh-catalogue", "1");
    let job = created(&cluster.pass("movies").await).unwrap();
    let held = finish(&cluster, &job, "half a table", 20).await;
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster).1, Some(first.to_string()), "the last one serves");
    let (state, reason, message) = cluster.condition("movies", "CatalogueHeld");
    assert_eq!((state.as_str(), reason.as_str()), ("True", "CatalogueShrunk"));
    let command =
        format!("kubectl -n shop annotate recommender movies recmesh.dev/accept-catalogue={held} --overwrite");
    let counts = "of 60 items of the model the item table has 58, and 20 are available (before: 58 and 60 of 60)";
    assert!(message.starts_with(counts), "{message}");
    assert!(message.ends_with(&command), "{message}");
    assert_eq!(created(&cluster.pass("movies").await), None);

    annotate(&cluster, "recmesh.dev/accept-catalogue", &held.to_string());
    let job = created(&cluster.pass("movies").await).unwrap();
    let accepting = config(&cluster, &job);
    assert_eq!((accepting.held, accepting.accepted), (Some(held.hash.clone()), Some(held.hash.clone())));
    let accepted = finish(&cluster, &job, "half a table", 20).await;
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster).1, Some(accepted.to_string()));
    assert_eq!(cluster.condition("movies", "CatalogueHeld").0, "");
    assert_eq!(created(&cluster.pass("movies").await), None);
}

#[tokio::test]
async fn a_table_of_attributes_alone_needs_no_catalogue() {
    let mut spec = spec();
    spec["data"]["items"]["filters"] = json!([]);
    spec["data"]["items"]["attributes"] = json!(["genre"]);
    let cluster = Cluster::with_movies(&spec);
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    assert_eq!(created(&cluster.pass("movies").await), None);
    assert_eq!(announced(&cluster), (Digest::of(b"a"), None));
    assert_eq!(status(&cluster), Value::Null);
}

#[tokio::test]
async fn a_change_of_titles_makes_a_catalogue_and_trains_nothing() {
    let (cluster, first) = with_catalogue().await;
    cluster.edit("movies", |movies| movies["spec"]["data"]["items"]["columns"] = json!({"title": "name"}));
    let writes = cluster.pass("movies").await;
    let job = created(&writes).unwrap();
    assert!(!writes.iter().any(|write| write.contains("-train-")), "{writes:?}");
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(first.to_string())));
    let second = finish(&cluster, &job, "table 1 with titles", 60).await;
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(second.to_string())));
}

#[tokio::test]
async fn a_suspended_recommender_gets_the_catalogue_of_a_pinned_revision() {
    let (cluster, first) = with_catalogue().await;
    annotate(&cluster, "recmesh.dev/retrain-at", "1");
    cluster.pass("movies").await;
    cluster.finish_run("movies", 2, "b").await;
    let pin = Digest::of(b"b").revision().to_owned();
    cluster.edit("movies", |movies| {
        movies["spec"]["suspend"] = json!(true);
        movies["spec"]["model"] = json!({"revision": pin});
    });
    let job = created(&cluster.pass("movies").await).unwrap();
    assert_eq!(announced(&cluster), (Digest::of(b"a"), Some(first.to_string())));
    let second = finish(&cluster, &job, "table 1", 60).await;
    cluster.pass("movies").await;
    assert_eq!(announced(&cluster), (Digest::of(b"b"), Some(second.to_string())));
    annotate(&cluster, "recmesh.dev/refresh-catalogue", "1");
    assert_eq!(created(&cluster.pass("movies").await), None, "no refresh while it is suspended");
}

#[tokio::test]
async fn old_catalogues_that_no_config_announces_are_deleted() {
    let (cluster, first) = with_catalogue().await;
    let store = cluster.store("movies");
    let file = cluster.store_directory().join("old");
    std::fs::write(&file, "old").unwrap();
    let (old, revision) = (Digest::of(b"old"), Digest::of(b"old revision"));
    for second in 1..=25 {
        let id = CatalogueVersion::new(second, &old);
        let catalogue = store.put_catalogue(&id, &revision, &file, &old).await.unwrap();
        let result = CatalogueResult {
            version: 1,
            id,
            spec_hash: old.clone(),
            revision: revision.clone(),
            catalogue: Some(catalogue),
            items: None,
            held: false,
            failure: String::new(),
            finished_at: second,
        };
        store.create_catalogue_result(&result).await.unwrap();
    }
    annotate(&cluster, "recmesh.dev/refresh-catalogue", "1");
    let job = created(&cluster.pass("movies").await).unwrap();
    complete(&cluster, &job);
    cluster.pass("movies").await;
    let left: Vec<i64> =
        store.list_catalogue_results().await.unwrap().iter().map(|(version, _)| version.decided_at).collect();
    assert_eq!((left.len(), left[0], left[19]), (20, 7, first.decided_at));
    let files = cluster.store_directory().join(store.keys.catalogues());
    assert!(!files.join(CatalogueVersion::new(6, &old).to_string()).join(revision.as_str()).exists());
    assert!(files.join(CatalogueVersion::new(7, &old).to_string()).join(revision.as_str()).exists());
}

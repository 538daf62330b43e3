//! Stock without training: an item goes out of stock under load, and lists for all users leave it
//! out.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Namespace,
    load::{Load, Request},
    wait,
};
use object_store::{ObjectStoreExt as _, aws::AmazonS3Builder, path::Path};
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};
use serde_json::{Value, json};
use sidecar_contract::{
    credentials::{AccessKeyId, Role, derive_secret},
    ports,
    store::EMBEDDED_BUCKET,
};

use crate::data::two_groups;

/// Requests a second: a trickle.
const REQUESTS_PER_SECOND: f64 = 20.0;
/// Items of an answer and of a list.
const N: usize = 4;
/// Users of [`two_groups`].
const USERS: usize = 60;
/// An item that many users have not seen.
const SOLD: &str = "item7";
/// Root key of the store that stands for the bucket of a user.
const ROOT_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Its installation id, the first part of all keys.
const INSTALLATION: &str = "lists";

/// The item table; `sold` is out of stock.
fn items(sold: Option<&str>) -> String {
    let mut table = "id,name,stock,parity\n".to_owned();
    for item in 0..20 {
        let id = format!("item{item}");
        let stock = if sold == Some(id.as_str()) { 0 } else { 3 };
        writeln!(table, "{id},Item {item},{stock},{}", if item % 2 == 0 { "even" } else { "odd" }).unwrap();
    }
    table
}

const RECOMMENDER: &str = "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: movies}
spec:
  data:
    source: {configMap: {name: visits, key: visits.csv}}
    items:
      source: {configMap: {name: items, key: items.csv}}
      columns: {id: id, title: name, available: stock}
      filters: [{column: parity}]
  algorithm: {als: {factors: 4, iterations: 5}}
  evaluation: {gate: {minLiftOverBaseline: -1}}
  serving: {replicas: 2}
";

fn listed(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect()
}

/// Version of the catalogue in the status, with this number of available items.
async fn catalogue_version(namespace: &Namespace, available: u64) -> Result<String> {
    wait::until("the catalogue in the status", || {
        let status = namespace.get("recommender", "movies")?["status"]["catalogue"].clone();
        ensure!(status["available"] == available, "{status}");
        Ok(status["version"].as_str().context("no version")?.to_owned())
    })
    .await
}

#[tokio::test]
async fn an_item_goes_out_of_stock_while_requests_are_served() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "catalogue")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.config_map("items", "items.csv", &items(None))?;
    namespace.apply(RECOMMENDER)?;
    namespace.wait_ready("movies").await?;
    let first = catalogue_version(&namespace, 20).await?;
    let revision = namespace.get("recommender", "movies")?["status"]["model"]["revision"].clone();

    let url = format!("{}/recommend", namespace.service_url("movies")?);
    // Odd users have not seen one odd item each, and no even item.
    let request = move |number: u64| {
        let body = json!({"user": format!("user{}", number % USERS as u64), "n": N, "where": {"parity": ["odd"]},
                          "includeSeen": true});
        Request::post(url.clone(), body)
    };
    let of_first = first.clone();
    let check = move |answer: &Value| {
        let ids = listed(answer);
        ensure!(ids.len() == N && answer["items"][0]["title"].is_string(), "{answer}");
        let is_first = answer["model"]["catalogue"] == of_first.as_str();
        ensure!(is_first || !ids.contains(&SOLD), "the item is out of stock: {answer}");
        Ok(())
    };
    let load = Load::start(&cluster.http, REQUESTS_PER_SECOND, Arc::new(request), Arc::new(check));
    let before =
        namespace.recommend("movies", &json!({"user": "user1", "candidates": [SOLD], "includeSeen": true})).await?;
    ensure!(listed(&before) == [SOLD], "{before}");

    let begin = Instant::now();
    namespace.config_map("items", "items.csv", &items(Some(SOLD)))?;
    namespace.kubectl(&["annotate", "recommender", "movies", "recmesh.dev/refresh-catalogue=1"])?;
    let second = catalogue_version(&namespace, 19).await?;
    let pods = namespace.list("pods", "app.kubernetes.io/component=serving")?;
    for pod in &pods {
        let address = pod["status"]["podIP"].as_str().context("a pod has no address")?;
        let url = format!("http://{address}:{}/model", ports::ADMIN);
        wait::until_async("the catalogue in a pod", async || {
            let report: Value = cluster.http.get(&url).send().await?.json().await?;
            ensure!(report["loaded"]["catalogue"] == second.as_str(), "{report}");
            Ok(())
        })
        .await?;
    }
    println!("no answer has the item {:.1} s after it went out of stock", begin.elapsed().as_secs_f64());
    let after =
        namespace.recommend("movies", &json!({"user": "user1", "candidates": [SOLD], "includeSeen": true})).await?;
    ensure!(listed(&after).is_empty() && after["leftOut"] == json!([{"id": SOLD, "reason": "unavailable"}]), "{after}");
    load.stop().await?.require_no_failure()?;
    let object = namespace.get("recommender", "movies")?;
    ensure!(object["status"]["model"]["revision"] == revision, "no training: {}", object["status"]);

    lists_for_all_users(&namespace, &second).await
}

/// A store of the test's own in place of a bucket: its pod, Service and Secret.
fn bucket(image: &str, namespace: &str) -> (String, AccessKeyId) {
    let id = AccessKeyId { namespace: namespace.to_owned(), name: "movies".to_owned(), role: Role::Train };
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket-root"},
         "stringData": {"root-key": ROOT_KEY, "installation-id": INSTALLATION}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": {
            "AWS_ACCESS_KEY_ID": id.to_string(),
            "AWS_SECRET_ACCESS_KEY": derive_secret(ROOT_KEY.as_bytes(), &id),
            "AWS_ENDPOINT_URL": format!("http://bucket.{namespace}.svc:{}", ports::STORE),
        }},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bucket"},
         "spec": {"selector": {"app": "bucket"}, "ports": [{"port": ports::STORE}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bucket", "labels": {"app": "bucket"}}, "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "store", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["/usr/local/bin/recmesh-store"],
                "args": ["--data-dir=/data/objects", "--root-key-file=/root-key/root-key",
                         "--installation-id-file=/root-key/installation-id"],
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": ports::ADMIN}, "periodSeconds": 2},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"},
                                 {"name": "root", "mountPath": "/root-key", "readOnly": true}],
            }],
            "volumes": [{"name": "data", "emptyDir": {}},
                        {"name": "root", "secret": {"secretName": "bucket-root", "defaultMode": 0o440}}],
        }},
    ]});
    (objects.to_string(), id)
}

/// `spec.batch` writes a Parquet file that has no item that is out of stock.
async fn lists_for_all_users(namespace: &Namespace, catalogue: &str) -> Result<()> {
    let stores = ["get", "pods", "-A", "-l", "app.kubernetes.io/component=store", "-o", "json"];
    let stores: Value = serde_json::from_str(&namespace.cluster.commands.kubectl(&stores)?)?;
    let image = stores["items"][0]["spec"]["containers"][0]["image"].as_str().context("no store is installed")?;
    let (objects, id) = bucket(image, &namespace.name);
    namespace.apply(&objects)?;
    namespace.kubectl(&["wait", "pod/bucket", "--for=condition=Ready", &wait::timeout_argument()])?;
    let folder = format!("{INSTALLATION}/{}/movies/lists", namespace.name);
    let batch = json!({"spec": {"batch": {
        "itemsPerUser": N, "destination": {"url": format!("s3://{EMBEDDED_BUCKET}/{folder}"), "secretRef": {"name": "bucket"}},
    }}});
    namespace.kubectl(&["patch", "recommender", "movies", "--type=merge", "-p", &batch.to_string()])?;
    let status = wait::until("the lists are written", || {
        let status = namespace.get("recommender", "movies")?["status"]["batch"].clone();
        ensure!(status["rows"] == USERS * N, "{status}");
        Ok(status)
    })
    .await?;
    let url = status["url"].as_str().context("the status has no URL")?;
    let name = url.rsplit('/').next().context("the URL has no name")?;

    let bucket = AmazonS3Builder::new()
        .with_bucket_name(EMBEDDED_BUCKET)
        .with_region(sidecar_contract::store::EMBEDDED_REGION)
        .with_endpoint(namespace.service_url("bucket")?)
        .with_allow_http(true)
        .with_access_key_id(id.to_string())
        .with_secret_access_key(derive_secret(ROOT_KEY.as_bytes(), &id))
        .build()?;
    let content = bucket.get(&Path::from(format!("{folder}/{name}"))).await?.bytes().await?;
    let lists = SerializedFileReader::new(content)?;
    let mut users = BTreeSet::new();
    for row in lists.get_row_iter(None)? {
        let row = row?;
        users.insert(row.get_string(0)?.clone());
        ensure!(row.get_string(2)? != SOLD, "an item that is out of stock: {row}");
        ensure!(row.get_string(5)? == catalogue, "{row}");
    }
    ensure!(users.len() == USERS, "{} users", users.len());
    Ok(())
}

//! Stores, pods and refusals of one namespace do not delay the Recommenders of another.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::cluster::{Cluster, core, job};

/// How long the test waits for what takes milliseconds on an idle machine. Without isolation it takes
/// longer: each slow store takes the deadline of 10 s, which 20 at a time would exhaust.
const PATIENCE: Duration = Duration::from_mins(3);
/// Recommenders whose store does not work.
const SLOW: usize = 360;

/// What a store does with a request.
#[derive(Clone, Copy, Debug)]
enum Misbehaviour {
    Silent,
    Refusing,
    Trickling,
    ListingWithoutEnd,
}

/// A store that misbehaves.
struct BadStore {
    url: String,
    requests: watch::Receiver<usize>,
}

impl BadStore {
    async fn start(misbehaviour: Misbehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (count, requests) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(misbehave(misbehaviour, stream, count));
            }
        });
        Self { url, requests }
    }

    /// The Secret of a bucket in this store.
    fn secret(&self, namespace: &str, access_key: &str) -> Value {
        let data = [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let data: serde_json::Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).to_owned(), json!(base64(value)))).collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models-s3", "namespace": namespace}, "data": data,
        })
    }
}

/// The text in base64, as the values of a Secret are written.
fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

async fn misbehave(misbehaviour: Misbehaviour, mut stream: TcpStream, count: watch::Sender<usize>) {
    let mut head = [0; 4096];
    // A client that gave up closes the connection.
    while matches!(stream.read(&mut head).await, Ok(1..)) {
        count.send_modify(|count| *count += 1);
        let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>\
                    </ListBucketResult>";
        let ok = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
        let answered = match misbehaviour {
            Misbehaviour::Silent => std::future::pending().await,
            Misbehaviour::Refusing => stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await,
            Misbehaviour::ListingWithoutEnd => stream.write_all(ok.as_bytes()).await,
            Misbehaviour::Trickling => {
                for byte in ok.as_bytes() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
                Ok(())
            }
        };
        if answered.is_err() {
            return;
        }
    }
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

#[tokio::test]
async fn buckets_that_misbehave_delay_no_recommender_of_another_namespace() {
    use Misbehaviour::{ListingWithoutEnd, Refusing, Silent, Trickling};
    for misbehaviour in [Silent, Refusing, Trickling, ListingWithoutEnd] {
        let (cluster, mut store) = (Cluster::new(), BadStore::start(misbehaviour).await);
        let secret = core("secrets", "models-s3").replace("/shop/", "/slow/");
        cluster.api.put(&secret, store.secret("slow", "a"));
        for number in 0..SLOW {
            let spec = json!({"store": {"url": format!("s3://bucket-{number}"), "secretRef": {"name": "models-s3"}}});
            cluster.create_in("slow", &format!("slow-{number}"), &spec);
        }
        let _controller = cluster.start_controller();
        // The slots of namespace slow are in use.
        store.requests.wait_for(|requests| *requests >= 4).await.unwrap();
        cluster.create("movies", &json!({}));
        until(&format!("{misbehaviour:?}: the run starts"), || !cluster.api.get(&job("movies", 1)).is_null()).await;
        cluster.finish_run("movies", 1, "a").await;
        let config = core("configmaps", "movies-serving");
        let serves = || cluster.api.get(&config)["data"].to_string().contains("\\\"desired\\\"");
        until(&format!("{misbehaviour:?}: the model serves"), serves).await;
    }
}

#[tokio::test]
async fn a_bucket_that_refuses_is_asked_again_after_a_pause_or_with_another_secret() {
    let (cluster, store) = (Cluster::new(), BadStore::start(Misbehaviour::Refusing).await);
    let secret = core("secrets", "models-s3");
    cluster.api.put(&secret, store.secret("shop", "a"));
    let bucket = json!({"url": "s3://models", "secretRef": {"name": "models-s3"}});
    cluster.create("movies", &json!({"store": bucket}));
    cluster.pass("movies").await;
    assert_eq!(cluster.condition("movies", "Trained").0, "Unknown");
    let asked = *store.requests.borrow();
    assert!(asked > 0);
    for _ in 0..3 {
        cluster.pass("movies").await;
    }
    assert_eq!(*store.requests.borrow(), asked, "the pause is not over");
    cluster.api.put(&secret, store.secret("shop", "b"));
    cluster.pass("movies").await;
    assert!(*store.requests.borrow() > asked, "the Secret has changed");
}

#[tokio::test]
async fn serving_is_applied_while_the_bucket_does_not_respond() {
    let (cluster, store) = (Cluster::new(), BadStore::start(Misbehaviour::Refusing).await);
    cluster.create("movies", &json!({}));
    cluster.pass("movies").await;
    cluster.finish_run("movies", 1, "a").await;
    cluster.pass("movies").await;
    cluster.api.put(&core("secrets", "models-s3"), store.secret("shop", "a"));
    let bucket = json!({"url": "s3://models", "secretRef": {"name": "models-s3"}});
    cluster.edit("movies", |movies| {
        movies["spec"]["store"] = bucket;
        movies["spec"]["serving"] = json!({"replicas": 3});
    });
    cluster.pass("movies").await;
    let (status, reason, message) = cluster.condition("movies", "Trained");
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "StoreUnreachable"), "{message}");
    let replicas = || cluster.api.get(&crate::cluster::deployment("movies"))["spec"]["replicas"].clone();
    assert_eq!(replicas(), 3, "the results of the other store are not those of the bucket");
}

#[tokio::test]
async fn no_run_starts_while_the_result_of_the_last_one_cannot_be_read() {
    let cluster = Cluster::with_movies(&json!({}));
    cluster.pass("movies").await;
    // The run commits, the Job completes, and then the store is down.
    cluster.finish_run("movies", 1, "a").await;
    std::fs::rename(cluster.store_directory().join("1b2c"), cluster.store_directory().join("moved")).unwrap();
    std::fs::write(cluster.store_directory().join("1b2c"), "not a directory").unwrap();
    let writes = cluster.pass("movies").await;
    assert!(!writes.iter().any(|write| write.contains("jobs")), "{writes:?}");
    assert_eq!(cluster.reason("movies", "Trained"), "StoreUnreachable");
}

#[tokio::test]
async fn requests_of_one_namespace_without_an_answer_delay_no_other() {
    let cluster = Cluster::new();
    // As with an admission webhook that does not respond for one namespace.
    cluster.api.hang(Method::PATCH, "-stuck");
    for number in 0..SLOW {
        cluster.create_in("slow", &format!("slow-{number}-stuck"), &json!({}));
    }
    let _controller = cluster.start_controller();
    until("the turns of namespace slow are in use", || cluster.api.hanging() >= 2).await;
    cluster.create("movies", &json!({}));
    until("the run starts", || !cluster.api.get(&job("movies", 1)).is_null()).await;
}

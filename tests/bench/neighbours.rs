//! Whether Recommenders with broken stores delay those of another namespace. A quarter of them each
//! has a store that does not answer, answers 403, answers one byte a second, or lists without end.
//! Run it with `tests/bench/neighbours`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A benchmark may panic.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::{Cluster, Namespace, operator_process::OperatorProcess, proxy::Proxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Number of neighbours, which are created one after the other.
const NEIGHBOURS: usize = 20;
/// Time that the broken Recommenders have before the neighbours are created.
const WARM_UP: Duration = Duration::from_mins(1);
/// Max time until one neighbour is Ready.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Recommenders per `kubectl apply`.
const BATCH: usize = 100;
const POLL: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<()> {
    let broken = std::env::args().nth(1).map_or(Ok(500), |text| text.parse())?;
    let cluster = Cluster::ready().await?;
    let scale = |replicas: &str| {
        cluster.commands.kubectl(&["-n", "recmesh-system", "scale", "deployment/recmesh-operator", replicas])
    };
    scale("--replicas=0")?;
    let outcome = measure(&cluster, broken).await;
    scale("--replicas=1")?;
    outcome
}

async fn measure(cluster: &Cluster, broken: usize) -> Result<()> {
    let (quiet, noisy) = (Namespace::new(cluster, "quiet")?, Namespace::new(cluster, "noisy")?);
    let proxy = Proxy::start(cluster.client().await?).await?;
    let namespaces = format!("{},{}", quiet.name, noisy.name);
    let _operator = OperatorProcess::start(cluster, &namespaces, proxy.address, 300)?;
    quiet.config_map("visits", "visits.csv", &visits())?;
    println!("| broken Recommenders | create to Ready, s: p50 | p99 | scale to Deployment, s: p50 | p99 |");
    println!("|---|---|---|---|---|");
    // The first one loads images and caches; it does not count.
    neighbour(&quiet, "first").await?;
    row(0, &quiet).await?;
    let endpoints = [
        "http://192.0.2.1:9000".to_owned(),
        serve(Broken::Refuses).await?,
        serve(Broken::Trickles).await?,
        serve(Broken::ListsWithoutEnd).await?,
    ];
    for (kind, endpoint) in endpoints.iter().enumerate() {
        noisy.apply(&secret(kind, endpoint))?;
    }
    for start in (0..broken).step_by(BATCH) {
        let batch: Vec<String> = (start..broken.min(start + BATCH)).map(resource).collect();
        noisy.apply(&batch.join("---\n"))?;
    }
    tokio::time::sleep(WARM_UP).await;
    row(broken, &quiet).await
}

async fn row(broken: usize, quiet: &Namespace) -> Result<()> {
    let (mut ready, mut scaled) = (Vec::new(), Vec::new());
    for number in 0..NEIGHBOURS {
        let (created, changed) = neighbour(quiet, &format!("n-{broken}-{number}")).await?;
        ready.push(created.as_secs_f64());
        scaled.push(changed.as_secs_f64());
    }
    let [[ready_half, ready_most], [scaled_half, scaled_most]] = [ready, scaled].map(quantiles);
    println!("| {broken} | {ready_half:.1} | {ready_most:.1} | {scaled_half:.2} | {scaled_most:.2} |");
    Ok(())
}

/// Median and 99th percentile; of few values, the latter is the largest.
fn quantiles(mut seconds: Vec<f64>) -> [f64; 2] {
    seconds.sort_by(f64::total_cmp);
    [seconds[seconds.len() / 2], seconds[(seconds.len() * 99).div_ceil(100) - 1]]
}

/// Creates a Recommender, waits until it is Ready, changes its replicas, waits until the Deployment
/// has them, and deletes it. Returns both times.
async fn neighbour(quiet: &Namespace, name: &str) -> Result<(Duration, Duration)> {
    let began = Instant::now();
    quiet.apply(&format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: {name}}}
spec:
  data: {{source: {{configMap: {{name: visits, key: visits.csv}}}}}}
  algorithm: {{als: {{factors: 4, iterations: 1}}}}
  evaluation: {{gate: {{minLiftOverBaseline: -1}}}}
"
    ))?;
    until(began, || Ok(quiet.condition(name, "Ready").is_some_and(|(status, ..)| status == "True"))).await?;
    let ready = began.elapsed();
    let began = Instant::now();
    quiet.kubectl(&["patch", "recommender", name, "--type=merge", "-p", r#"{"spec":{"serving":{"replicas":0}}}"#])?;
    until(began, || Ok(quiet.get("deployment", name)?["spec"]["replicas"] == 0)).await?;
    let scaled = began.elapsed();
    quiet.kubectl(&["delete", "recommender", name, "--wait=false"])?;
    Ok((ready, scaled))
}

async fn until(began: Instant, probe: impl Fn() -> Result<bool>) -> Result<()> {
    while !probe()? {
        ensure!(began.elapsed() < TIMEOUT, "timed out");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Two groups of users with different items.
fn visits() -> String {
    let row = |user: usize, item: usize| {
        let group = if user.is_multiple_of(2) { "a" } else { "b" };
        format!("u{user},{group}{}", (user / 2 + item) % 8)
    };
    let rows = (0..60).flat_map(|user| (0..6).map(move |item| row(user, item)));
    std::iter::once("user_id,item_id".to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
}

fn secret(kind: usize, endpoint: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: store-{kind}}}
stringData: {{AWS_ACCESS_KEY_ID: a, AWS_SECRET_ACCESS_KEY: s, AWS_ENDPOINT_URL: \"{endpoint}\"}}
"
    )
}

/// A Recommender whose store is one of the broken ones.
fn resource(number: usize) -> String {
    let kind = number % 4;
    format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: r-{number}}}
spec:
  data: {{source: {{configMap: {{name: visits, key: visits.csv}}}}}}
  serving: {{replicas: 0}}
  store: {{url: \"s3://models-{number}/\", secretRef: {{name: store-{kind}}}}}
"
    )
}

#[derive(Clone, Copy)]
enum Broken {
    Refuses,
    Trickles,
    ListsWithoutEnd,
}

/// Starts a broken S3 server and returns its endpoint.
async fn serve(broken: Broken) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, broken));
        }
    });
    Ok(endpoint)
}

async fn answer(mut stream: TcpStream, broken: Broken) -> std::io::Result<()> {
    let mut page = 0;
    while stream.read(&mut [0; 8192]).await? > 0 {
        page += 1;
        let (status, body) = match broken {
            Broken::Refuses => ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>".to_owned()),
            Broken::Trickles => ("200 OK", " ".repeat(1000)),
            Broken::ListsWithoutEnd => ("200 OK", listing(page)),
        };
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        if matches!(broken, Broken::Trickles) {
            for byte in body.as_bytes().chunks(1) {
                stream.write_all(byte).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        } else {
            stream.write_all(body.as_bytes()).await?;
        }
    }
    Ok(())
}

/// A page of a listing that another one follows.
fn listing(page: usize) -> String {
    let key = |key: usize| {
        format!(
            "<Contents><Key>{page:08}-{key:04}</Key><Size>1</Size><ETag>\"a\"</ETag>\
             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        )
    };
    let contents = (0..1000).map(key).collect::<Vec<_>>().concat();
    format!(
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{page}</NextContinuationToken>\
         {contents}</ListBucketResult>"
    )
}

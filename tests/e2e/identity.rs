//! Certificates on a real node: Jobs of allowed namespaces get their answers over mutual TLS from
//! serving pods that refuse plaintext.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

mod asking_job;
#[allow(dead_code, reason = "shared with another test target")]
mod data;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Namespace, Prober,
    commands::Commands,
    install::{SYSTEM_NAMESPACE, install},
    wait,
};
use serde_json::{Value, json};
use sidecar_contract::ports;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[tokio::test]
async fn a_job_gets_its_answer_over_mutual_tls_from_pods_that_refuse_plaintext() -> Result<()> {
    let cluster = Cluster::ready().await?;
    install_with_identity(&cluster.commands)?;
    let outcome = ask(&cluster).await;
    // Without identity again, as the other tests expect.
    install(&cluster.commands)?;
    outcome
}

fn install_with_identity(commands: &Commands) -> Result<()> {
    let chart = format!("{ROOT}/charts/recmesh");
    let values = format!("{ROOT}/tests/demo/values.yaml");
    let identity = ["--set", "mesh.identity.provider=podCertificate"];
    let upgrade = ["upgrade", "recmesh", &chart, "--namespace", SYSTEM_NAMESPACE, "--values", &values];
    commands.helm(&[&upgrade[..], &identity, &["--wait", &wait::timeout_argument()]].concat())?;
    Ok(())
}

async fn ask(cluster: &Cluster) -> Result<()> {
    let namespace = Namespace::new(cluster, "identity")?;
    namespace.config_map("visits", "visits.csv", &data::two_groups())?;
    let recommender = data::recommender("movies", 4, 2).replacen("spec:", "spec:\n  access: {plaintext: Never}", 1);
    namespace.apply(&recommender)?;
    namespace.wait_ready("movies").await?;
    for request in namespace.list("podcertificaterequests", "")? {
        ensure!(request["status"]["conditions"][0]["type"] == "Issued", "{request}");
    }

    asking_job::run(&namespace, "recmesh.dev/inject: movies")?;

    // The sidecar alone mounts the key.
    let pods = namespace.list("pods", "recmesh.dev/injected=true")?;
    let pod = pods.first().context("no pod has a sidecar")?;
    let mounts = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
        mounts.iter().filter(|mount| mount["name"] == "recmesh-proxy-certificate").count()
    };
    let app = &pod["spec"]["containers"][0];
    ensure!((mounts(&pod["spec"]["initContainers"][0]), mounts(app)) == (1, 0), "{}", pod["spec"]);

    // Plaintext from outside the pods: refused by the pods, or by the NetworkPolicy.
    let url = format!("{}/recommend", namespace.service_url("movies")?);
    let request = cluster.http.post(url).header("content-type", "application/json").body(r#"{"user": "user6"}"#);
    let answered = request.timeout(Duration::from_secs(5)).send().await;
    ensure!(answered.as_ref().map_or(true, |response| response.status() == 403), "{answered:?}");
    check_policies(&namespace).await
}

/// Whose connections the NetworkPolicy admits, before and after another namespace is allowed.
async fn check_policies(namespace: &Namespace) -> Result<()> {
    let callers = Namespace::new(&namespace.cluster, "identity-callers")?;
    let pods = namespace.list("pods", "recmesh.dev/recommender=movies,app.kubernetes.io/component=serving")?;
    let address = pods.first().and_then(|pod| pod["status"]["podIP"].as_str()).context("no serving pod")?;
    let commands = &namespace.cluster.commands;
    let inside = Prober::create(commands, &namespace.name, "inside", "")?;
    let caller = Prober::create(commands, &callers.name, "caller", "")?;

    inside.wait_connects(address, ports::MESH, true).await?;
    inside.wait_connects(address, ports::APP, false).await?;
    caller.wait_connects(address, ports::MESH, false).await?;

    let allow = json!({"spec": {"access": {"allow": [{"namespace": callers.name}]}}}).to_string();
    namespace.kubectl(&["patch", "recommender", "movies", "--type=merge", "-p", &allow])?;
    caller.wait_connects(address, ports::MESH, true).await?;
    caller.wait_connects(address, ports::APP, false).await?;
    inside.wait_connects(address, ports::MESH, false).await?;
    let labels = format!("recmesh.dev/inject: movies, recmesh.dev/namespace: {}", namespace.name);
    asking_job::run(&callers, &labels)
}

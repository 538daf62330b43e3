//! Who may connect to serving pods, store and operator, where NetworkPolicies are enforced.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, Namespace, Prober,
    commands::Commands,
    install::{MONITORING_NAMESPACE, SYSTEM_NAMESPACE},
};
use serde_json::Value;
use sidecar_contract::ports;

use crate::data::{recommender, two_groups};

/// Pods of this label in the other namespace may ask.
const PARTNERS: &str = "serving: {replicas: 1, allowFrom: [{
      namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: e2e-policies-other}},
      podSelector: {matchLabels: {app: partner}}}]}";

/// Address of a running pod.
fn address(commands: &Commands, namespace: &str, selector: &str) -> Result<String> {
    let get = ["get", "pods", "--namespace", namespace, "-l", selector, "--field-selector=status.phase=Running"];
    let list: Value = serde_json::from_str(&commands.kubectl(&[&get[..], &["-o", "json"]].concat())?)?;
    let address = list["items"][0]["status"]["podIP"].as_str();
    address.map(str::to_owned).with_context(|| format!("no pod {selector} in {namespace} has an address"))
}

#[tokio::test]
async fn only_pods_that_the_policies_name_connect_to_serving_pods_store_and_operator() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let commands = &cluster.commands;
    let namespace = Namespace::new(&cluster, "policies")?;
    let other = Namespace::new(&cluster, "policies-other")?;
    namespace.config_map("visits", "visits.csv", &two_groups())?;
    namespace.apply(&recommender("movies", 4, 1).replace("serving: {replicas: 1}", PARTNERS))?;
    // So the trainer and the serving pod connect to the store, and the operator to the serving pod.
    namespace.wait_ready("movies").await?;

    let serving =
        address(commands, &namespace.name, "recmesh.dev/recommender=movies,app.kubernetes.io/component=serving")?;
    let store = address(commands, SYSTEM_NAMESPACE, "app.kubernetes.io/component=store")?;
    let operator = address(commands, SYSTEM_NAMESPACE, "app.kubernetes.io/component=operator")?;
    let destinations = [
        (&serving, ports::APP),
        (&serving, ports::ADMIN),
        (&store, ports::STORE),
        (&store, ports::ADMIN),
        (&operator, ports::ADMIN),
    ];
    let local = "recmesh.dev/injected: 'true', recmesh.dev/mode: local";
    for (prober, open) in [
        (Prober::create(commands, &namespace.name, "app", "")?, [true, false, false, false, false]),
        (Prober::create(commands, &other.name, "stranger", "")?, [false, false, false, false, false]),
        (Prober::create(commands, &other.name, "partner", "app: partner")?, [true, false, false, false, false]),
        (Prober::create(commands, &other.name, "local", local)?, [false, false, true, false, false]),
        // Beside Prometheus.
        (Prober::create(commands, MONITORING_NAMESPACE, "scraper", "")?, [false, true, false, true, true]),
    ] {
        for ((address, port), open) in destinations.into_iter().zip(open) {
            prober.wait_connects(address, port, open).await?;
        }
    }
    Ok(())
}

//! A namespace for one test, deleted when the test ends.

use anyhow::{Context, Result};
use kube::{Api, Client, api::DynamicObject};
use recommender_crds::Recommender;
use serde_json::Value;

use crate::{Cluster, wait};

/// Namespace of one test; deleted when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    /// Name of the namespace.
    pub name: String,
    /// Cluster of the namespace.
    pub cluster: Cluster,
}

impl Namespace {
    /// Creates `e2e-<test>` with the `restricted` pod security level, the strictest of Kubernetes.
    pub fn new(cluster: &Cluster, test: &str) -> Result<Self> {
        let name = format!("e2e-{test}");
        let _ = cluster.commands.kubectl(&["delete", "namespace", &name, "--ignore-not-found", "--wait=true"]);
        cluster.commands.kubectl(&["create", "namespace", &name])?;
        cluster.commands.kubectl(&["label", "namespace", &name, "pod-security.kubernetes.io/enforce=restricted"])?;
        Ok(Self { name, cluster: cluster.clone() })
    }

    /// Runs `kubectl apply --server-side` on YAML text in this namespace.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "--namespace", &self.name, "-f", "-"];
        self.cluster.commands.kubectl_with_input(&arguments, yaml)
    }

    /// Runs `kubectl --namespace … ARGUMENTS`.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["--namespace", self.name.as_str()];
        all.extend_from_slice(arguments);
        self.cluster.commands.kubectl(&all)
    }

    /// Returns an object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"])?)?)
    }

    /// Returns the items of a list as JSON.
    pub fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["get", kind, "-l", selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        list["items"].as_array().cloned().context("the list has no items")
    }

    /// Applies a ConfigMap with one key.
    pub fn config_map(&self, name: &str, key: &str, content: &str) -> Result<()> {
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: content},
        });
        self.apply(&object.to_string()).map(drop)
    }

    /// Returns the typed API of Recommenders in this namespace.
    pub fn recommenders(&self, client: Client) -> Api<Recommender> {
        Api::namespaced(client, &self.name)
    }

    /// Returns a condition of a Recommender as (status, reason, message).
    pub fn condition(&self, name: &str, kind: &str) -> Option<(String, String, String)> {
        let object: DynamicObject = serde_json::from_value(self.get("recommender", name).ok()?).ok()?;
        let conditions = object.data["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|c| c["type"] == kind)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    /// Waits until a Recommender is Ready for its current generation.
    pub async fn wait_ready(&self, name: &str) -> Result<()> {
        wait::until(&format!("recommender {name} is Ready"), || {
            let object = self.get("recommender", name)?;
            let generation = &object["metadata"]["generation"];
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            let reconciling = conditions.iter().any(|c| c["type"] == "Reconciling" && c["status"] == "True");
            anyhow::ensure!(
                ready && !reconciling && &object["status"]["observedGeneration"] == generation,
                "status is {}",
                object["status"]
            );
            Ok(())
        })
        .await
    }

    /// Returns the base URL of a Recommender's Service, by its cluster IP.
    pub fn service_url(&self, name: &str) -> Result<String> {
        let service = self.get("service", name)?;
        let address = service["spec"]["clusterIP"].as_str().context("the Service has no cluster IP")?;
        let port = service["spec"]["ports"][0]["port"].as_u64().context("the Service has no port")?;
        Ok(format!("http://{address}:{port}"))
    }

    /// Sends `POST /recommend` with a JSON body.
    pub async fn recommend(&self, name: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/recommend", self.service_url(name)?);
        let response = self.cluster.http.post(url).json(body).send().await?;
        let status = response.status();
        let text = response.text().await?;
        anyhow::ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("namespace {} is kept for inspection", self.name);
            return;
        }
        let _ = self.cluster.commands.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

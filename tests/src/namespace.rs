//! A namespace for one test, gone when the test ends.

use anyhow::{Context, Result};
use kube::{Api, Client, api::DynamicObject};
use recommender_crds::Recommender;
use serde_json::Value;

use crate::{Cluster, wait};

/// A namespace that lives as long as its test.
#[derive(Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// The cluster that it is in.
    pub cluster: Cluster,
}

impl Namespace {
    /// Makes `e2e-<test>`, with the strictest pod security that Kubernetes has.
    pub fn new(cluster: &Cluster, test: &str) -> Result<Self> {
        let name = format!("e2e-{test}");
        let _ = cluster.commands.kubectl(&["delete", "namespace", &name, "--ignore-not-found", "--wait=true"]);
        cluster.commands.kubectl(&["create", "namespace", &name])?;
        cluster.commands.kubectl(&["label", "namespace", &name, "pod-security.kubernetes.io/enforce=restricted"])?;
        Ok(Self { name, cluster: cluster.clone() })
    }

    /// `kubectl apply --server-side` of YAML text in this namespace.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "--namespace", &self.name, "-f", "-"];
        self.cluster.commands.kubectl_with_input(&arguments, yaml)
    }

    /// `kubectl --namespace … ARGUMENTS`.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["--namespace", self.name.as_str()];
        all.extend_from_slice(arguments);
        self.cluster.commands.kubectl(&all)
    }

    /// An object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"])?)?)
    }

    /// The items of a list as JSON.
    pub fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["get", kind, "-l", selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        list["items"].as_array().cloned().context("a list has items")
    }

    /// A ConfigMap with one key.
    pub fn config_map(&self, name: &str, key: &str, content: &str) -> Result<()> {
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: content},
        });
        self.apply(&object.to_string()).map(drop)
    }

    /// The typed API of Recommenders here.
    pub fn recommenders(&self, client: Client) -> Api<Recommender> {
        Api::namespaced(client, &self.name)
    }

    /// The condition of a Recommender: (status, reason, message).
    pub fn condition(&self, name: &str, kind: &str) -> Option<(String, String, String)> {
        let object: DynamicObject = serde_json::from_value(self.get("recommender", name).ok()?).ok()?;
        let conditions = object.data["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|c| c["type"] == kind)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    /// Waits until a Recommender is Ready for its present generation.
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

    /// Base URL of a Recommender's service, by its cluster address.
    pub fn service_url(&self, name: &str) -> Result<String> {
        let service = self.get("service", name)?;
        let address = service["spec"]["clusterIP"].as_str().context("a service has an address")?;
        let port = service["spec"]["ports"][0]["port"].as_u64().context("a service has a port")?;
        Ok(format!("http://{address}:{port}"))
    }

    /// `POST /recommend` as JSON.
    pub async fn recommend(&self, name: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/recommend", self.service_url(name)?);
        let answer = self.cluster.http.post(url).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("namespace {} is left for a look", self.name);
            return;
        }
        let _ = self.cluster.commands.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

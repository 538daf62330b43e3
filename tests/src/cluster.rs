//! The cluster that all tests of a run share. The chart is installed once.

use anyhow::{Context, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::sync::OnceCell;

use crate::{commands::Commands, install};

/// A cluster with Recmesh and Prometheus installed.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// kubectl and helm.
    pub commands: Commands,
    /// HTTP client for pods and Services; the host has a route to both in the local cluster.
    pub http: reqwest::Client,
}

static INSTALLED: OnceCell<()> = OnceCell::const_new();

impl Cluster {
    /// Connects to the cluster. The first test of the run installs the chart.
    pub async fn ready() -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Self { commands: Commands::from_env()?, http: reqwest::Client::new() };
        INSTALLED.get_or_try_init(|| async { install::install(&cluster.commands) }).await?;
        Ok(cluster)
    }

    /// Returns a Kubernetes client for the runtime of the calling test. A client does not outlive
    /// the runtime that created it.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.commands.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Client::try_from(config).context("cannot build a Kubernetes client from the kubeconfig")
    }

    /// Runs an instant query on the cluster's Prometheus and returns its `result` list.
    pub fn prometheus(&self, query: &str) -> Result<Vec<serde_json::Value>> {
        let path = format!(
            "/api/v1/namespaces/{}/services/prometheus:9090/proxy/api/v1/query?query={}",
            install::MONITORING_NAMESPACE,
            percent_encode(query)
        );
        let response: serde_json::Value = serde_json::from_str(&self.commands.kubectl(&["get", "--raw", &path])?)?;
        Ok(response["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

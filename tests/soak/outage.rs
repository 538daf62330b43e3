//! Parts that are taken away, and brought back whatever becomes of the test.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, install::SYSTEM_NAMESPACE, wait};

/// A workload of the chart without pods; it gets them back when this is dropped.
pub struct Scaled {
    cluster: Cluster,
    object: String,
}

impl Scaled {
    /// Takes the pods away.
    pub async fn down(cluster: &Cluster, kind: &str, name: &str) -> Result<Self> {
        let scaled = Self { cluster: cluster.clone(), object: format!("{kind}/{name}") };
        scaled.scale(0)?;
        scaled.until(0).await?;
        Ok(scaled)
    }

    /// Brings them back, and waits for them.
    pub async fn up(self) -> Result<()> {
        self.scale(1)?;
        self.until(1).await
    }

    fn scale(&self, replicas: u32) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        self.cluster.commands.kubectl(&["--namespace", SYSTEM_NAMESPACE, "scale", &self.object, &replicas]).map(drop)
    }

    async fn until(&self, replicas: u64) -> Result<()> {
        wait::until(&format!("{} has {replicas} pods", self.object), || {
            let arguments = ["--namespace", SYSTEM_NAMESPACE, "get", &self.object, "-o", "json"];
            let object: serde_json::Value = serde_json::from_str(&self.cluster.commands.kubectl(&arguments)?)?;
            let status = &object["status"];
            let (all, ready) = (status["replicas"].as_u64(), status["readyReplicas"].as_u64());
            ensure!(all.unwrap_or(0) == replicas && ready.unwrap_or(0) == replicas, "{status}");
            Ok(())
        })
        .await
    }
}

impl Drop for Scaled {
    fn drop(&mut self) {
        // After `up` this changes nothing.
        let _ = self.scale(1);
    }
}

/// The API server of a local cluster, whose processes are ours.
pub struct ApiServer {
    process: String,
}

/// It does not answer while this lives.
pub struct Stopped(String);

impl ApiServer {
    /// The process that the local cluster noted beside its kubeconfig; `None` for any other cluster.
    pub fn of(cluster: &Cluster) -> Result<Option<Self>> {
        let directory = cluster.commands.kubeconfig().parent().context("a kubeconfig is in a directory")?;
        let note: PathBuf = directory.join("pids/kube-apiserver");
        if !note.exists() {
            return Ok(None);
        }
        let process = std::fs::read_to_string(note)?.trim().to_owned();
        let command = std::fs::read_to_string(format!("/proc/{process}/comm"))?;
        ensure!(command.trim() == "kube-apiserver", "process {process} is {command:?}");
        Ok(Some(Self { process }))
    }

    /// Stops it: connections stay, and nothing is answered, which is worse for clients than refusal.
    pub fn stop(self) -> Result<Stopped> {
        signal("-STOP", &self.process)?;
        Ok(Stopped(self.process))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = signal("-CONT", &self.0);
    }
}

fn signal(name: &str, process: &str) -> Result<()> {
    ensure!(Command::new("kill").args([name, process]).status()?.success(), "kill {name} {process}");
    Ok(())
}

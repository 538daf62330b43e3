//! Outages of parts of the installation. Each part is restored even if the test fails.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, install::SYSTEM_NAMESPACE, wait};

/// Workload of the chart that is scaled to zero. Dropping this value scales it up again.
pub struct Scaled {
    cluster: Cluster,
    object: String,
}

impl Scaled {
    /// Scales the workload to zero and waits until its pods are deleted.
    pub async fn down(cluster: &Cluster, kind: &str, name: &str) -> Result<Self> {
        let scaled = Self { cluster: cluster.clone(), object: format!("{kind}/{name}") };
        scaled.scale(0)?;
        scaled.until(0).await?;
        Ok(scaled)
    }

    /// Scales the workload up and waits until its pods are Ready.
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
        // No effect after `up`.
        let _ = self.scale(1);
    }
}

/// API server process of a local cluster.
pub struct ApiServer {
    process: String,
}

/// API server that is stopped until this value is dropped.
pub struct Stopped(String);

impl ApiServer {
    /// Reads the process id that the local cluster stores next to its kubeconfig; `None` for any
    /// other cluster.
    pub fn of(cluster: &Cluster) -> Result<Option<Self>> {
        let directory = cluster.commands.kubeconfig().parent().context("the kubeconfig has no parent directory")?;
        let pid_file: PathBuf = directory.join("pids/kube-apiserver");
        if !pid_file.exists() {
            return Ok(None);
        }
        let process = std::fs::read_to_string(pid_file)?.trim().to_owned();
        let command = std::fs::read_to_string(format!("/proc/{process}/comm"))?;
        ensure!(command.trim() == "kube-apiserver", "process {process} is {command:?}, not kube-apiserver");
        Ok(Some(Self { process }))
    }

    /// Stops the process with SIGSTOP. Connections stay open without responses, which is worse for
    /// clients than refused connections.
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
    ensure!(Command::new("kill").args([name, process]).status()?.success(), "kill {name} {process} failed");
    Ok(())
}

//! An operator as an ordinary process of this machine, behind a proxy, for one namespace.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{Cluster, install::SYSTEM_NAMESPACE};

/// A process that can be killed and started again.
pub struct OperatorProcess {
    program: PathBuf,
    arguments: Vec<String>,
    kubeconfig: PathBuf,
    log: PathBuf,
    child: Arc<Mutex<Option<Child>>>,
}

impl OperatorProcess {
    /// Starts `RECMESH_OPERATOR` for `namespace`, against the API server at `address`; it looks at a Recommender that
    /// nothing happens to every so many seconds.
    ///
    /// # Errors
    /// No program, or no cluster.
    pub fn start(cluster: &Cluster, namespace: &str, address: SocketAddr, resync: u32) -> Result<Self> {
        // The address of the store's Service, since this process does not ask the cluster's DNS.
        let store = cluster.commands.kubectl(&[
            "-n",
            SYSTEM_NAMESPACE,
            "get",
            "service",
            "recmesh-store",
            "-o",
            "jsonpath={.spec.clusterIP}",
        ])?;
        let arguments = [
            format!("--resync-seconds={resync}"),
            format!("--watch-namespaces={namespace}"),
            format!("--store-endpoint=http://{store}:9000"),
        ];
        Self::with(namespace, &through(address), arguments)
    }

    /// Starts it with a kubeconfig's text and arguments of one's own; `name` names its directory.
    ///
    /// # Errors
    /// No program.
    pub fn with(name: &str, config: &str, more: impl IntoIterator<Item = String>) -> Result<Self> {
        let program = std::env::var_os("RECMESH_OPERATOR").context("RECMESH_OPERATOR: the operator's program")?;
        let directory = std::env::temp_dir().join(format!("recmesh-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let kubeconfig = directory.join("kubeconfig");
        std::fs::write(&kubeconfig, config)?;
        let arguments = [
            "run",
            "--log=info",
            "--sidecar-image=docker.io/recmesh/sidecar:dev",
            "--admin-listen=127.0.0.1:0",
            "--retry-seconds-min=1",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.push(format!("--namespace={SYSTEM_NAMESPACE}"));
        arguments.extend(more);
        let process =
            Self { program: program.into(), arguments, kubeconfig, log: directory.join("log"), child: Arc::default() };
        process.restart()?;
        Ok(process)
    }

    /// Starts it if it does not run.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn restart(&self) -> Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return Ok(());
        }
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        *child = Some(command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot start the operator")?);
        Ok(())
    }

    /// Its process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::id)
    }

    /// Something that kills it as `kill -9` does.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let child = Arc::clone(&self.child);
        move || kill(&child)
    }

    /// Where it logs.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }
}

/// The text of a kubeconfig for a proxy's address.
pub fn through(address: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    });
    config.to_string()
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn kill(child: &Mutex<Option<Child>>) {
    if let Some(mut child) = child.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

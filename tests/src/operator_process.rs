//! Runs an operator as a local process behind a proxy, for one namespace.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{Cluster, install::SYSTEM_NAMESPACE};

/// Operator process that can be killed and restarted.
pub struct OperatorProcess {
    program: PathBuf,
    arguments: Vec<String>,
    kubeconfig: PathBuf,
    log: PathBuf,
    child: Arc<Mutex<Option<Child>>>,
}

impl OperatorProcess {
    /// Starts `RECMESH_OPERATOR` for `namespace` with the API server at `address`; `resync` is its
    /// resync interval in seconds.
    ///
    /// # Errors
    /// `RECMESH_OPERATOR` is not set or cannot be started, or the cluster does not respond.
    pub fn start(cluster: &Cluster, namespace: &str, address: SocketAddr, resync: u32) -> Result<Self> {
        // The cluster IP of the store's Service, because this process does not use the cluster DNS.
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
        Self::start_with(namespace, &proxy_kubeconfig(address), arguments)
    }

    /// Starts the operator with this kubeconfig text and additional arguments. `name` is part of
    /// the path of its working directory.
    ///
    /// # Errors
    /// `RECMESH_OPERATOR` is not set or cannot be started.
    pub fn start_with(name: &str, config: &str, more: impl IntoIterator<Item = String>) -> Result<Self> {
        let program = std::env::var_os("RECMESH_OPERATOR")
            .context("RECMESH_OPERATOR is not set: set it to the path of the operator binary")?;
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

    /// Starts the operator unless it is running.
    ///
    /// # Errors
    /// The operator cannot be started.
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

    /// Returns the process id, if the operator was started and not killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::id)
    }

    /// Returns a function that kills the operator as `kill -9` does. It returns whether the
    /// operator was running.
    pub fn kill_fn(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let child = Arc::clone(&self.child);
        move || kill(&child)
    }

    /// Path of the log file.
    pub fn log_path(&self) -> &PathBuf {
        &self.log
    }
}

/// Returns the text of a kubeconfig for the address of a proxy.
pub fn proxy_kubeconfig(address: SocketAddr) -> String {
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
        let _ = kill(&self.child);
    }
}

fn kill(child: &Mutex<Option<Child>>) -> bool {
    let Some(mut child) = child.lock().unwrap_or_else(PoisonError::into_inner).take() else { return false };
    let was_running = matches!(child.try_wait(), Ok(None));
    let _ = child.kill();
    let _ = child.wait();
    was_running
}

//! Runs kubectl and helm as a user does, with the kubeconfig of the test cluster.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Directory of the tools, and kubeconfig of the cluster.
#[derive(Clone, Debug)]
pub struct Commands {
    tools: PathBuf,
    kubeconfig: PathBuf,
}

impl Commands {
    /// Reads `RECMESH_TOOLS` and `RECMESH_E2E_KUBECONFIG`.
    pub fn from_env() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).with_context(|| {
                format!("{name} is not set: run the end-to-end tests with `make test`, which creates its own cluster")
            })
        };
        Ok(Self { tools: variable("RECMESH_TOOLS")?, kubeconfig: variable("RECMESH_E2E_KUBECONFIG")? })
    }

    /// Uses the tools in this directory and the cluster of this kubeconfig.
    pub fn new(tools: impl Into<PathBuf>, kubeconfig: impl Into<PathBuf>) -> Self {
        Self { tools: tools.into(), kubeconfig: kubeconfig.into() }
    }

    /// Path of the kubeconfig.
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }

    /// Runs `kubectl` and returns its standard output.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run("kubectl", arguments, "")
    }

    /// Runs `kubectl` with text on its standard input.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.run("kubectl", arguments, input)
    }

    /// Runs `helm` and returns its standard output.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.run("helm", arguments, "")
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(self.tools.join(program))
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        child.stdin.take().context("the child process has no stdin pipe")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{program} {}: {}\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

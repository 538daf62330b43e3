//! Installs the chart and Prometheus as described in the README.

use anyhow::Result;

use crate::{commands::Commands, wait};

/// Namespace of the operator and the store.
pub const SYSTEM_NAMESPACE: &str = "recmesh-system";
/// Namespace of Prometheus.
pub const MONITORING_NAMESPACE: &str = "recmesh-demo-monitoring";

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Installs the chart, or upgrades an installed one to the chart of the working tree. Idempotent.
pub fn install(commands: &Commands) -> Result<()> {
    let chart = format!("{ROOT}/charts/recmesh");
    let values = format!("{ROOT}/tests/demo/values.yaml");
    commands.helm(&[
        "upgrade",
        "--install",
        "recmesh",
        &chart,
        "--namespace",
        SYSTEM_NAMESPACE,
        "--create-namespace",
        "--values",
        &values,
        "--wait",
        &wait::timeout_argument(),
    ])?;
    commands.kubectl(&["apply", "--server-side", "-f", &format!("{ROOT}/tests/demo/prometheus.yaml")])?;
    Ok(())
}

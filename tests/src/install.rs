//! Installs the chart and Prometheus as the README says.

use anyhow::Result;

use crate::commands::Commands;

/// Where operator and store run.
pub const SYSTEM_NAMESPACE: &str = "recmesh-system";
/// Where Prometheus runs.
pub const MONITORING_NAMESPACE: &str = "recmesh-demo-monitoring";

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Idempotent: an installed chart is upgraded to the working tree's.
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
        "--timeout",
        "180s",
    ])?;
    commands.kubectl(&["apply", "--server-side", "-f", &format!("{ROOT}/tests/demo/prometheus.yaml")])?;
    Ok(())
}

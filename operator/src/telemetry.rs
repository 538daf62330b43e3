//! Logging: one line per event to standard error; JSON unless standard error is a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The failures of a watch, which the operator logs itself; and responses that cannot be parsed,
/// whose whole text would be logged: also a Secret, or a page of objects of all tenants.
const QUIET: &str = "kube_runtime::watcher=error,kube_client::client=error";

/// Sets up logging; `filter` is a level such as `info`, or tracing directives.
///
/// # Errors
/// Fails if the filter cannot be parsed.
pub fn init(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}

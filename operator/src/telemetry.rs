//! Logs: one line an event, to standard error; JSON where no person watches.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets up logging; `filter` is `info`, `debug`, or tracing's directives.
///
/// # Errors
/// A filter that does not parse.
pub fn init(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}

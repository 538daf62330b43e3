//! Entry point of the embedded store.

use clap::Parser as _;
use recommender_store::{app::App, args::Args};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The protocol library logs every rejected request as an error. The request limiter counts them in
/// a metric instead.
const LIBRARY_FILTER: &str = "s3s=off";

/// The filter of logs: that of `RUST_LOG`, by default `info`. The library is silent unless the filter
/// names it.
fn log_filter(given: Option<String>) -> EnvFilter {
    let given = given.filter(|given| !given.trim().is_empty()).unwrap_or_else(|| "info".to_owned());
    let filter = if given.contains("s3s") { given } else { format!("{given},{LIBRARY_FILTER}") };
    EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(format!("info,{LIBRARY_FILTER}")))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = log_filter(std::env::var(EnvFilter::DEFAULT_ENV).ok());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let args = Args::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start(&args).await?;
    tracing::info!(
        data_dir = %args.data_dir.display(),
        listen = %app.address,
        admin_listen = %app.admin_address,
        "serving"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    app.stop().await;
    tracing::info!("stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_silent_unless_the_filter_names_it() {
        let filter = |given: Option<&str>| log_filter(given.map(str::to_owned)).to_string();
        for (given, expected) in [
            (None, "s3s=off,info"),
            (Some(""), "s3s=off,info"),
            (Some("debug"), "s3s=off,debug"),
            (Some("warn,s3s=error"), "s3s=error,warn"),
            (Some("warn,,=="), "s3s=off,info"),
        ] {
            assert_eq!(filter(given), expected, "{given:?}");
        }
    }
}

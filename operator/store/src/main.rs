//! Entry point of the embedded store.

use clap::Parser as _;
use recommender_store::{app::App, args::Args};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The protocol library logs every rejected request as an error. The request limiter counts them in
/// a metric instead.
const LOG_FILTER: &str = "info,s3s=off";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
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

//! Entry point: arguments, logs, runtime, exit code.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use recommender_sidecar::{
    args::{Cli, Command},
    commands,
    cpus::available_cpus,
    limits::{EXIT_TIMEOUT, PROXY_THREADS_MAX},
    telemetry,
};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code.code()),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(sidecar_contract::ExitCode::Usage.code())
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<sidecar_contract::ExitCode> {
    // `suggest` prints a human-readable profile to standard error, without log lines in between.
    let prints_profile = matches!(cli.command, Command::Suggest(_)) && cli.log == "info";
    telemetry::init(if prints_profile { "warn" } else { &cli.log }, cli.log_format())?;
    // It exports the last spans when the runtime has ended.
    #[cfg(feature = "otlp")]
    let _exporter = cli.otlp_endpoint.as_deref().map(recommender_sidecar::spans::Exporter::start).transpose()?;
    let is_proxy = matches!(cli.command, Command::Proxy(_));
    // An I/O thread for each CPU: it also computes short answers.
    let threads = if is_proxy { available_cpus().min(PROXY_THREADS_MAX) } else { available_cpus() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Train(args) => commands::train::run(args).await,
            Command::Serve(args) => commands::serve::run(args).await.map(|()| sidecar_contract::ExitCode::Done),
            Command::Evaluate(args) => Ok(commands::evaluate::run(args).await),
            Command::Suggest(args) => commands::suggest::run(args).await,
            Command::Tune(args) => Ok(commands::tune::run(args).await),
            Command::Catalogue(args) => commands::catalogue::run(args).await,
            Command::Batch(args) => commands::batch::run(args).await,
            Command::Compose(args) => commands::compose::run(args).await.map(|()| sidecar_contract::ExitCode::Done),
            Command::Proxy(args) => commands::proxy::run(args).await.map(|()| sidecar_contract::ExitCode::Done),
            Command::Recommend(args) => commands::recommend::run(args).map(|()| sidecar_contract::ExitCode::Done),
        }
    });
    // A model that is still loading must not delay the exit for longer, and a lookup not at all.
    runtime.shutdown_timeout(if is_proxy { Duration::ZERO } else { EXIT_TIMEOUT });
    done
}

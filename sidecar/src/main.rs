//! Entry point: arguments, logs, runtime, exit code.

use std::{io, process::ExitCode, time::Duration};

use clap::Parser;
use recommender_sidecar::{
    args::{Cli, Command},
    commands,
    cpus::available_cpus,
    limits::{EXIT_TIMEOUT, PROXY_THREADS_MAX},
    telemetry,
};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code.code()),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(sidecar_contract::ExitCode::Usage.code())
        }
    }
}

/// A sidecar that only forwards has one thread, which needs no wake-up of another one between the
/// app's connection and that of the serving pod. All others compute answers, too, on a thread for
/// each CPU.
fn runtime(command: &Command) -> io::Result<Runtime> {
    let threads = match command {
        Command::Proxy(args) if !args.local => return Builder::new_current_thread().enable_all().build(),
        Command::Proxy(_) => available_cpus().min(PROXY_THREADS_MAX),
        _ => available_cpus(),
    };
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

fn run(cli: Cli) -> anyhow::Result<sidecar_contract::ExitCode> {
    // `suggest` prints a human-readable profile to standard error, without log lines in between.
    let prints_profile = matches!(cli.command, Command::Suggest(_)) && cli.log == "info";
    telemetry::init(if prints_profile { "warn" } else { &cli.log }, cli.log_format())?;
    // It exports the last spans when the runtime has ended.
    #[cfg(feature = "otlp")]
    let _exporter = cli.otlp_endpoint.as_deref().map(recommender_sidecar::spans::Exporter::start).transpose()?;
    let is_proxy = matches!(cli.command, Command::Proxy(_));
    let runtime = runtime(&cli.command)?;
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

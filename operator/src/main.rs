//! Entry point: parses arguments, sets up logging, and starts the operator.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use kube::Client;
use recommender_operator::{
    admin,
    args::{Cli, Command, Settings},
    context::Context,
    controller,
    events::Recorder,
    leader::Candidate,
    metrics::Metrics,
    store_root, telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match telemetry::init(&cli.log) {
        Ok(()) => match cli.command {
            Command::Run(settings) => run(settings).await,
            Command::Check { url } => check(&url).await,
        },
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<()> {
    settings.check().map_err(anyhow::Error::msg)?;
    store_client::install_tls_provider();
    tracing::info!(?settings, "operator starting");
    let metrics = Arc::new(Metrics::new()?);
    tokio::spawn(admin::bind(settings.admin_listen, Arc::clone(&metrics)).await?);
    let client = Client::try_default().await.context("cannot build a Kubernetes client")?;
    let mut terminate = signal(SignalKind::terminate())?;
    // The root Secret must exist before the lease is held: the store cannot start without it.
    let root = store_root::ensure(&client, &settings.namespace).await?;
    let candidate = Candidate::new(client.clone(), &settings.namespace, &settings.pod_name);
    if settings.leader_election {
        tokio::select! {
            () = candidate.acquire() => tracing::info!("lease acquired; this operator is the leader"),
            _ = terminate.recv() => return Ok(()),
        }
    }
    metrics.set_leader(true);
    let elected = settings.leader_election;
    let recorder = Recorder::new(client.clone(), settings.pod_name.clone());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let context = Arc::new(Context::new(client, settings, root, metrics, recorder, http));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let controller = tokio::spawn(controller::run(context, async {
        let _ = stopped.await;
    }));
    let lease_lost = async {
        if elected {
            candidate.renew_until_lost().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let still_leader = tokio::select! {
        _ = terminate.recv() => true,
        () = lease_lost => false,
    };
    ensure!(still_leader, "the lease was lost: another operator may be the leader, so this process exits");
    let _ = stop.send(());
    controller.await?;
    Ok(())
}

async fn check(url: &str) -> Result<()> {
    store_client::install_tls_provider();
    let status = reqwest::get(url).await.with_context(|| format!("cannot reach {url}"))?.status();
    ensure!(status.is_success(), "{url} returned {status}; expected a 2xx status");
    println!("{url} returned {status}");
    Ok(())
}

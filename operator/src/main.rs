//! Entry point: parses arguments, sets up logging, and starts the operator.

use std::{
    fs::File,
    io::Read,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use futures::FutureExt as _;
use recommender_operator::{
    admin, api_client,
    args::{Cli, Command, InjectArgs, ReportArgs, Settings},
    context::Context,
    controller,
    events::Recorder,
    inject::{
        Injection,
        manifests::{MANIFEST_BYTES_MAX, inject_all},
    },
    leader::Candidate,
    leadership,
    metrics::Metrics,
    report,
    signer::{Signer, SignerSettings},
    store_root, telemetry,
};
use reqwest::redirect::Policy;
use tokio::signal::unix::{SignalKind, signal};

/// Deadline of [`check`].
const CHECK_DEADLINE: Duration = Duration::from_secs(10);

/// How long the process waits for calls that cannot be aborted, such as the resolution of a name.
const EXIT_DEADLINE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match telemetry::init(&cli.log).and_then(|()| execute(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(settings) => run(settings).await,
            Command::Report(arguments) => print_report(arguments).await,
            Command::Inject(arguments) => print_injected(&arguments),
            Command::Check { url } => check(&url).await,
        }
    });
    runtime.shutdown_timeout(EXIT_DEADLINE);
    result
}

async fn run(settings: Settings) -> Result<()> {
    settings.check().map_err(anyhow::Error::msg)?;
    store_client::install_tls_provider();
    tracing::info!(?settings, "operator starting");
    let metrics = Arc::new(Metrics::new()?);
    tokio::spawn(admin::bind(settings.admin_listen, Arc::clone(&metrics)).await?);
    let client = api_client::connect().await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let is_leader = Arc::new(AtomicBool::new(false));
    // Before the lease is held: pods that start wait for a signature.
    tokio::spawn(sign(&client, reports_client()?, &settings, &metrics, &is_leader));
    // The root Secret must exist before the lease is held: the store cannot start without it.
    let root = store_root::ensure(&client, &settings.namespace).await?;
    let candidate = Candidate::new(client.clone(), &settings.namespace, &settings.pod_name);
    let candidate = settings.leader_election.then_some(candidate);
    if let Some(candidate) = &candidate {
        tokio::select! {
            () = candidate.acquire() => tracing::info!("lease acquired; this operator is the leader"),
            _ = terminate.recv() => return Ok(()),
        }
    }
    metrics.set_leader(true);
    is_leader.store(true, Ordering::Relaxed);
    let recorder = Recorder::new(client.clone(), settings.pod_name.clone());
    let context = Arc::new(Context::new(client, settings, root, metrics, recorder, reports_client()?));
    let terminated = async {
        let _ = terminate.recv().await;
    };
    leadership::run(candidate, terminated, |stopped| async {
        controller::run(context, stopped.map(drop)).await;
    })
    .await
}

/// The signer of certificates, if identity is on.
fn sign(
    client: &kube::Client,
    http: reqwest::Client,
    settings: &Settings,
    metrics: &Arc<Metrics>,
    is_leader: &Arc<AtomicBool>,
) -> impl Future<Output = ()> + Send + use<> {
    let signer = SignerSettings::of(settings)
        .map(|settings| Signer::new(client.clone(), http, settings, Arc::clone(metrics), Arc::clone(is_leader)));
    async move {
        if let Some(signer) = signer {
            signer.run().await;
        }
    }
}

/// HTTP client for the admin ports of pods. They are in the cluster: no proxy, no redirects.
fn reports_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().redirect(Policy::none()).build()
}

async fn print_report(arguments: ReportArgs) -> Result<()> {
    store_client::install_tls_provider();
    let ReportArgs { recommender: (namespace, name), run, settings } = arguments;
    let client = api_client::connect().await?;
    let root = store_root::ensure(&client, &settings.namespace).await?;
    let recorder = Recorder::new(client.clone(), settings.pod_name.clone());
    let context = Context::new(client, settings, root, Arc::new(Metrics::new()?), recorder, reports_client()?);
    print!("{}", report::render(&context, &namespace, &name, run).await?);
    Ok(())
}

fn print_injected(arguments: &InjectArgs) -> Result<()> {
    let InjectArgs {
        filename,
        sidecar_image,
        image_pull_policy,
        fixed_user_ids,
        identity_signer,
        resources,
        local_memory,
        ephemeral_storage_max,
    } = arguments.clone();
    let mut text = String::new();
    let input: Box<dyn Read> =
        if filename.as_os_str() == "-" { Box::new(std::io::stdin()) } else { Box::new(File::open(&filename)?) };
    let limit = u64::try_from(MANIFEST_BYTES_MAX)?;
    let name = filename.display();
    input.take(limit + 1).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    ensure!(text.len() <= MANIFEST_BYTES_MAX, "{name} has more than {MANIFEST_BYTES_MAX} bytes; expected manifests");
    let injection = Injection {
        image: sidecar_image,
        image_pull_policy,
        fixed_user_ids,
        signer: identity_signer,
        resources,
        local_memory,
        cache_size: ephemeral_storage_max,
    };
    let manifests = inject_all(&text, &injection).map_err(anyhow::Error::msg).with_context(|| name.to_string())?;
    print!("{manifests}");
    Ok(())
}

async fn check(url: &str) -> Result<()> {
    store_client::install_tls_provider();
    let client = reqwest::Client::builder().timeout(CHECK_DEADLINE).build()?;
    let response = client.get(url).send().await.with_context(|| format!("cannot reach {url}"))?;
    let status = response.status();
    ensure!(status.is_success(), "{url} returned {status}; expected a 2xx status");
    println!("{url} returned {status}");
    Ok(())
}

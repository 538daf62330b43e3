//! Command line. The Helm chart sets the arguments.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, builder::RangedU64ValueParser};
use sidecar_contract::ports::{ADMIN, any_address};

use crate::{identity::TrustDomain, inject::local};

/// Longest interval: 30 days.
const SECONDS_MAX: u64 = 30 * 24 * 3600;

/// The operator of Recmesh.
#[derive(Debug, Parser)]
#[command(name = "recmesh-operator", version, about)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, or tracing directives.
    #[arg(long, env = "RECMESH_LOG", default_value = "info", global = true)]
    pub log: String,
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile Recommenders.
    Run(Settings),
    /// Print the report of a run as HTML: `kubectl exec deploy/recmesh-operator -- recmesh-operator
    /// report shop/movies`. It needs no serving pod.
    Report(ReportArgs),
    /// Add the sidecar of a Recommender to the pods in manifests that are labelled
    /// `recmesh.dev/inject`, and print them: for clusters without the chart's policy, and for
    /// GitOps.
    Inject(InjectArgs),
    /// Succeed if a URL returns a 2xx status; used by `helm test` because the image has no shell.
    Check {
        /// URL to request.
        #[arg(long)]
        url: String,
    },
}

/// Arguments of `inject`. The chart's policy for the cluster has the same settings.
#[derive(Args, Clone, Debug)]
pub struct InjectArgs {
    /// File of manifests in YAML or JSON; - is standard input.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub filename: PathBuf,
    /// Image of the sidecar.
    #[arg(long, env = "RECMESH_SIDECAR_IMAGE")]
    pub sidecar_image: String,
    /// Pull policy of that image.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// User and group of the container: `true` sets 65532; `false` leaves them to the cluster, as
    /// OpenShift requires.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub fixed_user_ids: bool,
    /// Signer of the certificates of the sidecars, such as recmesh.dev/recmesh; without it they
    /// have none, and connect in plaintext.
    #[arg(long, value_name = "NAME", value_parser = signer_name)]
    pub identity_signer: Option<String>,
    /// Requests and limits of the container as JSON.
    #[arg(long, value_name = "JSON", default_value = PROXY_RESOURCES, value_parser = resources)]
    pub resources: serde_json::Value,
    /// Memory request and limit of the container with label recmesh.dev/mode local, such as 256Mi;
    /// annotation recmesh.dev/memory of a pod sets another.
    #[arg(long, value_name = "AMOUNT", default_value = "256Mi", value_parser = memory)]
    pub local_memory: String,
    /// Size limit of its volume for models.
    #[arg(long, value_name = "QUANTITY", default_value = "32Gi", value_parser = quantity)]
    pub ephemeral_storage_max: String,
}

/// Default requests and limits of an app's sidecar; the same as `mesh.resources` in the chart.
const PROXY_RESOURCES: &str =
    r#"{"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}"#;

/// Parses an amount of memory.
fn memory(text: &str) -> Result<String, String> {
    let memory = local::is_memory(text).then(|| text.to_owned());
    memory.ok_or_else(|| "expected an amount such as 512Mi or 2Gi".to_owned())
}

/// Parses requests and limits; the API server checks the quantities.
fn resources(text: &str) -> Result<serde_json::Value, String> {
    let expected = || format!("expected JSON such as {PROXY_RESOURCES}");
    let resources: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("{error}; {}", expected()))?;
    let is_known = |name: &String| name == "requests" || name == "limits";
    resources.as_object().filter(|fields| fields.keys().all(is_known)).ok_or_else(expected)?;
    Ok(resources)
}

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// Namespace and name of the Recommender: shop/movies.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = namespace_and_name)]
    pub recommender: (String, String),
    /// Number of the run; default: the newest one with a result.
    #[arg(long)]
    pub run: Option<u32>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub settings: Settings,
}

/// Parses `shop/movies`.
fn namespace_and_name(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
    let (namespace, name) = parts.ok_or("expected a namespace and a name, such as shop/movies")?;
    Ok((namespace.to_owned(), name.to_owned()))
}

/// Command-line settings of the operator.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator and the store.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Name of this pod, used as the holder identity of the lease.
    #[arg(long, env = "POD_NAME", default_value = "recmesh-operator")]
    pub pod_name: String,
    /// Image of the trainer and serving pods.
    #[arg(long, env = "RECMESH_SIDECAR_IMAGE")]
    pub sidecar_image: String,
    /// Pull policy of that image.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// Endpoint of the embedded store: `http://recmesh-store.recmesh-system.svc:9000`.
    #[arg(long, env = "RECMESH_STORE_ENDPOINT")]
    pub store_endpoint: String,
    /// Store URL that replaces S3, for example `file:///tmp/store`; for tests.
    #[arg(long, hide = true)]
    pub store_url: Option<String>,
    /// Namespaces whose Recommenders are watched; all if not set.
    #[arg(long, value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Buckets (`s3://bucket/path`) that Recommenders may name in `spec.store` without a Secret:
    /// the operator opens them with its own identity.
    #[arg(long, value_delimiter = ',')]
    pub workload_identity_stores: Vec<String>,
    /// Namespaces whose pods may scrape the admin ports, in addition to the operator's own.
    #[arg(long, value_delimiter = ',')]
    pub monitoring_namespaces: Vec<String>,
    /// Listen address of probes and metrics.
    #[arg(long, default_value_t = any_address(ADMIN))]
    pub admin_listen: SocketAddr,
    /// Resync interval in seconds.
    #[arg(long, default_value_t = 600, value_parser = RangedU64ValueParser::<u64>::new().range(1..=SECONDS_MAX))]
    pub resync_seconds: u64,
    /// Delay in seconds before a failed run is retried; doubles with each failure.
    #[arg(long, default_value_t = 30, value_parser = RangedU64ValueParser::<u64>::new().range(1..=SECONDS_MAX))]
    pub retry_seconds_min: u64,
    /// Maximum retry delay in seconds; at least `--retry-seconds-min`.
    #[arg(long, default_value_t = 3600, value_parser = RangedU64ValueParser::<u64>::new().range(1..=SECONDS_MAX))]
    pub retry_seconds_max: u64,
    /// Recommenders reconciled concurrently.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Recommenders that may roll out a new model or pod template concurrently.
    #[arg(long, default_value_t = 10, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub rollouts_max: usize,
    /// Recommenders that may train concurrently; the others are queued.
    #[arg(long, default_value_t = 20, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub trainings_max: usize,
    /// Recommenders that may write lists for all users concurrently; the others are queued.
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub batches_max: usize,
    /// Recommenders that may make catalogues concurrently; the others are queued.
    #[arg(long, default_value_t = 10, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub catalogues_max: usize,
    /// Default interval in seconds between checks for changed data; 0 disables the checks.
    #[arg(long, default_value_t = 3600, value_parser = RangedU64ValueParser::<u64>::new().range(..=SECONDS_MAX))]
    pub data_check_seconds: u64,
    /// User, group and fsGroup of the pods of Recommenders: `true` sets 65532; `false` leaves them
    /// to the cluster, as OpenShift requires.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub fixed_user_ids: bool,
    /// Annotates serving pods with `prometheus.io/scrape`.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub scrape_annotations: bool,
    /// Limit of the temporary files of a pod, such as `32Gi`: models in a serving pod, and data and
    /// model of a run. Kubernetes evicts a pod that exceeds it.
    #[arg(long, default_value = "32Gi", value_parser = quantity)]
    pub ephemeral_storage_max: String,
    /// Name of the MutatingAdmissionPolicy that adds sidecars to the pods of apps; this installation
    /// adds none if it is not set.
    #[arg(long)]
    pub injection_policy: Option<String>,
    /// Elect a leader; required with more than one replica.
    #[arg(long)]
    pub leader_election: bool,
    /// Signer of the certificates of sidecars.
    #[command(flatten)]
    pub identity: Option<IdentityArgs>,
}

/// Settings of identity; without them sidecars have no certificates.
#[derive(Args, Clone, Debug)]
pub struct IdentityArgs {
    /// Sign PodCertificateRequests for this signer, such as recmesh.dev/recmesh.
    #[arg(long, value_name = "NAME", value_parser = signer_name, required = false, requires_all = ["trust_domain", "identity_guard"])]
    pub identity_signer: String,
    /// Trust domain of the certificates. It is fixed when the root is made.
    #[arg(long, value_name = "DOMAIN", value_parser = TrustDomain::parse, required = false)]
    pub trust_domain: TrustDomain,
    /// ValidatingAdmissionPolicy that lets only kubelets ask; without it nothing is signed.
    #[arg(long, value_name = "POLICY", required = false)]
    pub identity_guard: String,
    /// Secret in the operator's namespace with a CA that an issuer of cert-manager issues. It signs
    /// in place of a root of the operator.
    #[arg(long, value_name = "SECRET", requires = "identity_signer")]
    pub identity_issuer_secret: Option<String>,
}

/// Checks the form of a signer's name; the API server checks the rest.
fn signer_name(text: &str) -> Result<String, String> {
    let is_valid =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let parts =
        text.split_once('/').filter(|(domain, name)| domain.contains('.') && is_valid(domain) && is_valid(name));
    parts.map(|_| text.to_owned()).ok_or_else(|| "expected <domain>/<name>, such as recmesh.dev/recmesh".to_owned())
}

/// Checks the form of a quantity; the API server checks the rest.
fn quantity(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_number = digits.parse::<f64>().is_ok_and(|number| number > 0.0);
    let is_unit = matches!(text.get(digits.len()..), Some("" | "k" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti"));
    if is_number && is_unit { Ok(text.to_owned()) } else { Err("expected a quantity such as 32Gi".to_owned()) }
}

impl Settings {
    /// Checks what concerns several settings.
    ///
    /// # Errors
    /// Names the settings, and what is expected.
    pub fn check(&self) -> Result<(), String> {
        if self.retry_seconds_min > self.retry_seconds_max {
            return Err(format!(
                "--retry-seconds-min {} exceeds --retry-seconds-max {}; expected at most that",
                self.retry_seconds_min, self.retry_seconds_max
            ));
        }
        Ok(())
    }

    /// [`Self::resync_seconds`] as a duration.
    pub fn resync(&self) -> Duration {
        Duration::from_secs(self.resync_seconds)
    }

    /// The signer of certificates, if identity is on.
    pub fn signer(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.identity_signer.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Settings, String> {
        let required = ["recmesh-operator", "run", "--namespace=n", "--sidecar-image=i", "--store-endpoint=http://s"];
        let cli = Cli::try_parse_from(required.iter().chain(arguments)).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Run(settings) => settings.check().map(|()| settings),
            Command::Report(_) | Command::Inject(_) | Command::Check { .. } => Err("not run".to_owned()),
        }
    }

    #[test]
    fn settings_outside_their_range_are_rejected_by_name() {
        for argument in [
            "--resync-seconds=0",
            "--concurrency=0",
            "--rollouts-max=0",
            "--trainings-max=0",
            "--batches-max=0",
            "--catalogues-max=0",
            "--retry-seconds-min=0",
            "--data-check-seconds=99999999999",
            "--ephemeral-storage-max=much",
            "--ephemeral-storage-max=0Gi",
        ] {
            let error = parse(&[argument]).unwrap_err();
            let (name, _) = argument.split_once('=').unwrap();
            assert!(error.contains(name), "{argument}: {error}");
        }
        let error = parse(&["--retry-seconds-min=60", "--retry-seconds-max=30"]).unwrap_err();
        assert!(error.contains("--retry-seconds-min 60 exceeds --retry-seconds-max 30"), "{error}");
        assert!(parse(&["--data-check-seconds=0", "--ephemeral-storage-max=1.5Gi"]).is_ok());
    }

    #[test]
    fn the_secret_of_an_issuer_needs_a_signer() {
        let identity = ["--identity-signer=a.dev/b", "--trust-domain=a", "--identity-guard=c"];
        let issuer_secret = |settings: Settings| settings.identity.unwrap().identity_issuer_secret;
        assert_eq!(issuer_secret(parse(&identity).unwrap()), None);
        let with_issuer = [&identity[..], &["--identity-issuer-secret=ca"]].concat();
        assert_eq!(issuer_secret(parse(&with_issuer).unwrap()).as_deref(), Some("ca"));
        let error = parse(&["--identity-issuer-secret=ca"]).unwrap_err();
        assert!(error.contains("--identity-signer"), "{error}");
    }
}

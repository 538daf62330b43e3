//! Mount points and file names inside the pods, and paths of the admin port.

/// Directory where the serving ConfigMap is mounted.
pub const SERVING_CONFIG_DIR: &str = "/etc/recmesh/serving";
/// File in [`SERVING_CONFIG_DIR`], and key in the ConfigMap, with a [`crate::ServingConfig`] as
/// JSON.
pub const SERVING_CONFIG_FILE: &str = "serving.json";
/// File in [`SERVING_CONFIG_DIR`], and key in the ConfigMap, with a [`crate::CompositionConfig`] as
/// JSON, in place of [`SERVING_CONFIG_FILE`].
pub const COMPOSITION_FILE: &str = "composition.json";
/// Environment variable of the trainer with a [`crate::TrainingConfig`] as JSON. It is part of the
/// Job, so a run and its configuration are one immutable object.
pub const TRAINING_CONFIG_ENV: &str = "RECMESH_TRAINING";
/// Prefix of the trainer's environment variables that hold the keys of the interaction source's
/// Secret. Variables without the prefix configure the pod's own identity.
pub const SOURCE_SECRET_ENV_PREFIX: &str = "RECMESH_SOURCE_";
/// Prefix of the environment variables that hold the keys of the item table's Secret.
pub const ITEMS_SECRET_ENV_PREFIX: &str = "RECMESH_ITEMS_";
/// Environment variable of a batch Job with a [`crate::BatchConfig`] as JSON.
pub const BATCH_CONFIG_ENV: &str = "RECMESH_BATCH";
/// Environment variable of a catalogue Job with a [`crate::CatalogueConfig`] as JSON.
pub const CATALOGUE_CONFIG_ENV: &str = "RECMESH_CATALOGUE";
/// Prefix of the environment variables that hold the keys of the destination's Secret.
pub const DESTINATION_SECRET_ENV_PREFIX: &str = "RECMESH_DESTINATION_";
/// Suffix, after each prefix, of the variable with the name of the Secret.
pub const SECRET_NAME: &str = "SECRET_NAME";
/// Environment variable of trainer and sidecar with the name of the pod (downward API).
pub const POD_NAME_ENV: &str = "RECMESH_POD_NAME";
/// Environment variable of an app's sidecar with the namespace of the Recommender.
pub const NAMESPACE_ENV: &str = "RECMESH_NAMESPACE";
/// Mount point of the store credential; [`crate::credentials`] names its files.
pub const STORE_CREDENTIALS_DIR: &str = "/var/run/secrets/recmesh/store";
/// Mount point of the certificate of a pod; only the sidecar mounts it.
pub const IDENTITY_DIR: &str = "/var/run/recmesh/identity";
/// File in [`IDENTITY_DIR`] with the private key and the certificate chain, as PEM.
pub const CREDENTIALS_FILE: &str = "credentials.pem";
/// Mount point of the trust anchors, which is apart from the certificate: a certificate that is not
/// renewed must not delay new anchors.
pub const ANCHORS_DIR: &str = "/var/run/recmesh/anchors";
/// File in [`ANCHORS_DIR`] with the certificates of the trust anchors, as PEM.
pub const ANCHORS_FILE: &str = "anchors.pem";
/// Mount point of a ConfigMap or PersistentVolumeClaim source; read-only.
pub const DATA_DIR: &str = "/var/run/recmesh/data";
/// Writable emptyDir for verified snapshots and markers.
pub const CACHE_DIR: &str = "/var/cache/recmesh";
/// Writable emptyDir of the trainer for temporary files.
pub const WORK_DIR: &str = "/var/lib/recmesh/work";
/// Default termination message file of Kubernetes.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Admin path: liveness probe; 200 while the process can respond.
pub const LIVEZ: &str = "/livez";
/// Admin path: readiness probe; 200 while the process can serve requests.
pub const READYZ: &str = "/readyz";
/// Admin path: Prometheus text format.
pub const METRICS: &str = "/metrics";
/// Admin path: prefix of run reports; the name of the run and `.html` follow.
pub const REPORTS: &str = "/reports/";
/// Admin path: items whose id or title contains the value of `q`, as JSON.
pub const ITEMS: &str = "/items";
/// Admin path: a [`crate::ModelReport`] as JSON.
pub const MODEL: &str = "/model";
/// Admin path: an [`crate::AnchorsReport`] as JSON.
pub const ANCHORS: &str = "/anchors";

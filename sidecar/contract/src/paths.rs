//! Mount points and file names inside the pods, and paths of the admin port.

/// Directory where the serving ConfigMap is mounted.
pub const SERVING_CONFIG_DIR: &str = "/etc/recmesh/serving";
/// File in [`SERVING_CONFIG_DIR`], and key in the ConfigMap: a [`crate::ServingConfig`] as JSON.
pub const SERVING_CONFIG_FILE: &str = "serving.json";
/// Environment variable of the trainer: a [`crate::TrainingConfig`] as JSON. It lives in the Job, so a run and its
/// instructions are one immutable object.
pub const TRAINING_CONFIG_ENV: &str = "RECMESH_TRAINING";
/// Prefix of the trainer's environment variables that are keys of the Secret of the interactions' source. The pod's own
/// variables, which have none, are what it may read by itself.
pub const SOURCE_SECRET_ENV_PREFIX: &str = "RECMESH_SOURCE_";
/// Prefix of those of the item table's Secret.
pub const ITEMS_SECRET_ENV_PREFIX: &str = "RECMESH_ITEMS_";
/// What follows either prefix in the variable that holds the Secret's name.
pub const SECRET_NAME: &str = "SECRET_NAME";
/// Environment variable of both: the pod's own name (downward API).
pub const POD_NAME_ENV: &str = "RECMESH_POD_NAME";
/// Where the operator mounts the store credential: files named by [`crate::credentials`].
pub const STORE_CREDENTIALS_DIR: &str = "/var/run/secrets/recmesh/store";
/// Where a ConfigMap or PersistentVolumeClaim source is mounted, read-only.
pub const DATA_DIR: &str = "/var/run/recmesh/data";
/// Writable emptyDir for verified snapshots and markers.
pub const CACHE_DIR: &str = "/var/cache/recmesh";
/// Writable emptyDir of the trainer for temporary files.
pub const WORK_DIR: &str = "/var/lib/recmesh/work";
/// Kubernetes' default termination message file.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Admin path: alive as long as the process can answer.
pub const LIVEZ: &str = "/livez";
/// Admin path: 200 once something can be served.
pub const READYZ: &str = "/readyz";
/// Admin path: Prometheus text format.
pub const METRICS: &str = "/metrics";
/// Admin path: a page about a run follows, by the run's name and `.html`.
pub const REPORTS: &str = "/reports/";
/// Admin path: a [`crate::ModelReport`] as JSON.
pub const MODEL: &str = "/model";

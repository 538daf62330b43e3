//! Port numbers and names; used in pod templates, Services and servers.

/// Application port of the sidecar: `POST /recommend` and the other endpoints of the API.
pub const APP: u16 = 8080;
/// Name of [`APP`] in pods and services.
pub const APP_NAME: &str = "http";
/// Admin port of every process: probes and metrics; never shares a listener with [`APP`].
pub const ADMIN: u16 = 9090;
/// Name of [`ADMIN`] in pods and services.
pub const ADMIN_NAME: &str = "metrics";
/// S3 port of the embedded store.
pub const STORE: u16 = 9000;
/// Name of [`STORE`] in pods and services.
pub const STORE_NAME: &str = "s3";

//! Where the store is; credentials travel apart, in a Secret.

use serde::{Deserialize, Serialize};

/// The store as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreConfig {
    /// `s3://bucket`, or `file:///absolute/path` where a program runs without a cluster.
    pub url: String,
    /// Endpoint of an S3 service other than AWS, such as the embedded store: `http://recmesh-store.recmesh-system:9000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region that signatures name.
    #[serde(default = "default_region")]
    pub region: String,
    /// Key prefix of this Recommender, with a trailing slash: `<installation id>/<namespace>/<name>/`.
    pub prefix: String,
}

/// The region that the embedded store expects in signatures.
pub const EMBEDDED_REGION: &str = "us-east-1";
/// The one bucket of the embedded store.
pub const EMBEDDED_BUCKET: &str = "recmesh";

fn default_region() -> String {
    EMBEDDED_REGION.to_owned()
}

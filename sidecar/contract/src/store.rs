//! Location of the store. Credentials are not part of it; they are in a Secret.

use serde::{Deserialize, Serialize};

/// Location of a Recommender's data in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreConfig {
    /// `s3://bucket`, or `file:///absolute/path` for a program that runs outside a cluster.
    pub url: String,
    /// Endpoint of an S3 service other than AWS, such as the embedded store:
    /// `http://recmesh-store.recmesh-system:9000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region in signatures.
    #[serde(default = "default_region")]
    pub region: String,
    /// Key prefix of this Recommender, with a trailing slash:
    /// `<installation id>/<namespace>/<name>/`.
    pub prefix: String,
}

/// Region that the embedded store expects in signatures.
pub const EMBEDDED_REGION: &str = "us-east-1";
/// The only bucket of the embedded store.
pub const EMBEDDED_BUCKET: &str = "recmesh";

fn default_region() -> String {
    EMBEDDED_REGION.to_owned()
}

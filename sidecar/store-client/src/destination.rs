//! A place of a user that whole files are written to.

use std::path::Path;

use sidecar_contract::{StoreConfig, store::EMBEDDED_REGION};

use crate::{BucketSecret, Scheme, Store, StoreCredentials, StoreError};

/// Variable with the endpoint of an S3 service for the identity of the process.
const ENDPOINT_ENV: &str = "AWS_ENDPOINT_URL";

/// A bucket, or a path in one.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Access to it. The prefix is the path of the URL.
    pub store: Store,
    url: String,
}

impl Destination {
    /// Opens `s3://`, `gs://` or `az://` with an optional path, or `file:///directory`, without
    /// sending a request. Without `secret`, a bucket is opened with the identity of the process.
    ///
    /// # Errors
    /// Another URL, or a Secret without the keys of its scheme.
    pub fn open(url: &str, secret: Option<&BucketSecret>) -> Result<Self, StoreError> {
        if Scheme::of(url) == Some(Scheme::Http) {
            return Err(StoreError::Config(format!("url {url:?}: expected s3://, gs:// or az:// with a bucket")));
        }
        let endpoint = std::env::var(ENDPOINT_ENV).ok().filter(|_| secret.is_none() && url.starts_with("s3://"));
        let config =
            StoreConfig { url: url.to_owned(), endpoint, region: EMBEDDED_REGION.to_owned(), prefix: String::new() };
        let credentials = secret.cloned().map(StoreCredentials::Secret);
        Ok(Self { store: Store::open(&config, credentials.as_ref())?, url: url.trim_end_matches('/').to_owned() })
    }

    /// URL of a file of this name.
    pub fn url_of(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// Writes a file under a name, and returns its size. It appears when it is complete: parts of a
    /// large file are one upload, which is completed last. A repetition replaces it.
    ///
    /// # Errors
    /// A request that fails, or a file that cannot be read.
    pub async fn put(&self, name: &str, file: &Path) -> Result<u64, StoreError> {
        self.store.put_file(&self.store.keys.below(name), file, None).await
    }
}

//! From a URL to an open bucket or directory, with TLS, timeouts and retries set up.

use std::{path::PathBuf, sync::Arc};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, S3ConditionalPut},
    local::LocalFileSystem,
};
use url::Url;

use crate::{StoreCredentials, StoreError, limits};

/// An open bucket or directory.
#[derive(Clone, Debug)]
pub struct Location {
    /// The bucket or directory.
    pub object_store: Arc<dyn ObjectStore>,
    /// The URL's path inside the bucket, with a trailing slash unless empty. Always empty for a directory.
    pub key_prefix: String,
    /// As [`Self::key_prefix`] without the slash: the key, where the URL names one object.
    pub key: String,
}

/// Makes ring the process's TLS provider, once; later calls, and a provider that the program chose before, are left
/// alone. [`connect`] calls this: without any provider the HTTP client panics when it is built, also for plain HTTP.
pub fn install_tls_provider() {
    // Err means that one is installed, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Opens `s3://bucket[/path]` or `file:///directory`; sends nothing. A directory is created when it is not there.
pub fn connect(
    url: &str,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
) -> Result<Location, StoreError> {
    let parsed = Url::parse(url).map_err(|error| unusable(url, &error.to_string()))?;
    match parsed.scheme() {
        "file" => open_directory(url, &parsed),
        "s3" => open_bucket(url, &parsed, endpoint, region, credentials),
        scheme => Err(unusable(url, &format!("scheme {scheme:?} is not supported"))),
    }
}

fn open_directory(url: &str, parsed: &Url) -> Result<Location, StoreError> {
    let path: PathBuf =
        parsed.to_file_path().map_err(|()| unusable(url, "a file URL needs an absolute path and no host"))?;
    std::fs::create_dir_all(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
    let directory = LocalFileSystem::new_with_prefix(&path).map_err(|error| unusable(url, &error.to_string()))?;
    let object_store = Arc::new(directory.with_fsync(true));
    Ok(Location { object_store, key_prefix: String::new(), key: String::new() })
}

fn open_bucket(
    url: &str,
    parsed: &Url,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
) -> Result<Location, StoreError> {
    install_tls_provider();
    let bucket = parsed.host_str().ok_or_else(|| unusable(url, "expected s3://<bucket>"))?;
    // A given key stands alone: what the environment says is meant for another bucket then.
    let mut builder = match credentials {
        Some(given) => AmazonS3Builder::new()
            .with_access_key_id(&given.access_key_id)
            .with_secret_access_key(&given.secret_access_key),
        None => AmazonS3Builder::from_env(),
    };
    builder = builder
        .with_bucket_name(bucket)
        .with_region(region)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry_config());
    let mut options = ClientOptions::new()
        .with_connect_timeout(limits::CONNECT_TIMEOUT)
        // A whole snapshot takes as long as it takes; what is bounded is silence.
        .with_timeout_disabled()
        .with_read_timeout(limits::READ_TIMEOUT)
        .with_pool_max_idle_per_host(limits::IDLE_CONNECTIONS_MAX);
    if let Some(endpoint) = endpoint {
        let scheme = Url::parse(endpoint).map_err(|error| unusable(endpoint, &error.to_string()))?.scheme().to_owned();
        match scheme.as_str() {
            "https" => {}
            // No CA roots are read for a service that has no TLS: an image without them works, and memory is saved.
            // Credentials from the environment may need HTTPS elsewhere (STS), so those keep the roots.
            "http" => {
                options = options.with_allow_http(true).with_no_system_certificates(credentials.is_some());
            }
            other => return Err(unusable(endpoint, &format!("scheme {other:?}: expected http or https"))),
        }
        builder = builder.with_endpoint(endpoint);
    }
    let bucket = builder.with_client_options(options).build().map_err(|error| unusable(url, &error.to_string()))?;
    let key = parsed.path().trim_matches('/').to_owned();
    let key_prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
    Ok(Location { object_store: Arc::new(bucket), key_prefix, key })
}

fn retry_config() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: limits::BACKOFF_FIRST, max_backoff: limits::BACKOFF_MAX, base: 2.0 },
        max_retries: limits::RETRIES_MAX,
        retry_timeout: limits::RETRY_BUDGET,
    }
}

fn unusable(url: &str, why: &str) -> StoreError {
    StoreError::Config(format!("url {url:?}: {why}; expected s3://<bucket> or file:///<directory>"))
}

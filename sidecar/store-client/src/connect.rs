//! Opens the bucket or directory of a URL, and configures retries.

use std::{path::PathBuf, sync::Arc};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    http::HttpBuilder,
    local::LocalFileSystem,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use url::Url;

use crate::{
    Bounds, BucketSecret, Scheme, StoreCredentials, StoreError, http_client::Connector, limits, transport::Transport,
};

/// Opened bucket or directory.
#[derive(Clone, Debug)]
pub struct Location {
    /// The bucket or directory.
    pub object_store: Arc<dyn ObjectStore>,
    /// Path of the URL inside the bucket, with a trailing slash unless empty. Always empty for a
    /// directory.
    pub key_prefix: String,
    /// [`Self::key_prefix`] without the trailing slash, which is the key if the URL names one
    /// object.
    pub key: String,
}

/// Installs ring as the TLS provider of the process, unless a provider is installed already.
/// [`connect`] calls this, because building the HTTP client without a provider panics, also for
/// plain HTTP.
pub fn install_tls_provider() {
    // Err: a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Opens `s3://`, `gs://` or `az://` with a bucket and an optional path, `http(s)://` with a host
/// and a path, or `file:///directory`, without sending a request. A missing directory is created.
/// `endpoint` and `region` apply to S3 only. Without `credentials`, a bucket is opened with the
/// identity of the process: environment, web identity or metadata service.
pub fn connect(
    url: &str,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
) -> Result<Location, StoreError> {
    connect_bounded(url, endpoint, region, credentials, None)
}

/// [`connect`], with bounds on requests and responses.
pub(crate) fn connect_bounded(
    url: &str,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
    bounds: Option<Bounds>,
) -> Result<Location, StoreError> {
    let parsed = Url::parse(url).map_err(|error| invalid_url(url, &error.to_string()))?;
    if parsed.scheme() == "file" {
        return open_directory(url, &parsed);
    }
    install_tls_provider();
    let http = Connector::new(Transport::of(credentials)?, bounds);
    let object_store: Arc<dyn ObjectStore> = match Scheme::of(url) {
        Some(Scheme::S3) => open_s3(url, &parsed, endpoint, region, credentials, http)?,
        Some(Scheme::Gcs) => open_gcs(url, &parsed, credentials, http)?,
        Some(Scheme::Azure) => open_azure(url, &parsed, credentials, http)?,
        Some(Scheme::Http) => open_http(url, &parsed, credentials, http)?,
        None => return Err(invalid_url(url, &format!("scheme {:?} is not supported", parsed.scheme()))),
    };
    let key = parsed.path().trim_matches('/').to_owned();
    let key_prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
    Ok(Location { object_store, key_prefix, key })
}

fn open_directory(url: &str, parsed: &Url) -> Result<Location, StoreError> {
    let path: PathBuf =
        parsed.to_file_path().map_err(|()| invalid_url(url, "a file URL must have an absolute path and no host"))?;
    std::fs::create_dir_all(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
    let directory = LocalFileSystem::new_with_prefix(&path).map_err(|error| invalid_url(url, &error.to_string()))?;
    let object_store = Arc::new(directory.with_fsync(true));
    Ok(Location { object_store, key_prefix: String::new(), key: String::new() })
}

type OpenResult = Result<Arc<dyn ObjectStore>, StoreError>;

fn open_s3(
    url: &str,
    parsed: &Url,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
    http: Connector,
) -> OpenResult {
    // Explicit credentials exclude those of the environment, which are for another bucket.
    let mut builder = match credentials {
        None => {
            let builder = AmazonS3Builder::from_env();
            // The region of the environment takes precedence over the configured one.
            let has_region = builder.get_config_value(&AmazonS3ConfigKey::Region).is_some();
            if has_region { builder } else { builder.with_region(region) }
        }
        Some(_) => AmazonS3Builder::new().with_region(region),
    };
    let mut endpoint = endpoint.map(str::to_owned);
    match credentials {
        None => {}
        Some(StoreCredentials::AccessKey { access_key_id, secret_access_key }) => {
            builder = builder.with_access_key_id(access_key_id).with_secret_access_key(secret_access_key);
        }
        Some(StoreCredentials::Secret(secret)) => {
            for (key, value) in secret.values(Scheme::S3)? {
                let key: AmazonS3ConfigKey = key.to_ascii_lowercase().parse().map_err(|_| invalid_url(url, key))?;
                if key != AmazonS3ConfigKey::Endpoint {
                    builder = builder.with_config(key, value);
                }
            }
            endpoint = secret.get("AWS_ENDPOINT_URL").map(str::to_owned).or(endpoint);
        }
    }
    builder = builder
        .with_bucket_name(bucket(url, parsed)?)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry_config())
        .with_http_connector(http);
    let mut options = ClientOptions::new();
    if let Some(endpoint) = endpoint {
        if is_plain_http(&endpoint)? {
            // A service without TLS needs no CA certificates, so an image without them works, and
            // memory is saved. Credentials of the environment may need HTTPS for other services
            // (STS), so those load the certificates.
            options = options.with_allow_http(true).with_no_system_certificates(credentials.is_some());
        }
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Arc::new(builder.with_client_options(options).build().map_err(|error| invalid_url(url, &error.to_string()))?))
}

fn open_gcs(url: &str, parsed: &Url, credentials: Option<&StoreCredentials>, http: Connector) -> OpenResult {
    let mut builder = GoogleCloudStorageBuilder::new();
    let mut options = ClientOptions::new();
    match bucket_secret(url, credentials)? {
        None => builder = GoogleCloudStorageBuilder::from_env(),
        Some(secret) => {
            for (key, value) in secret.values(Scheme::Gcs)? {
                let key: GoogleConfigKey = key.to_ascii_lowercase().parse().map_err(|_| invalid_url(url, key))?;
                builder = builder.with_config(key, value);
            }
            if let Some(base) = secret.get("GOOGLE_BASE_URL") {
                options = options.with_allow_http(is_plain_http(base)?);
            }
        }
    }
    let built = builder
        .with_bucket_name(bucket(url, parsed)?)
        .with_retry(retry_config())
        .with_http_connector(http)
        .with_client_options(options)
        .build();
    Ok(Arc::new(built.map_err(|error| invalid_url(url, &error.to_string()))?))
}

fn open_azure(url: &str, parsed: &Url, credentials: Option<&StoreCredentials>, http: Connector) -> OpenResult {
    let mut builder = MicrosoftAzureBuilder::new();
    let mut options = ClientOptions::new();
    match bucket_secret(url, credentials)? {
        None => builder = MicrosoftAzureBuilder::from_env(),
        Some(secret) => {
            for (key, value) in secret.values(Scheme::Azure)? {
                let key: AzureConfigKey = key.to_ascii_lowercase().parse().map_err(|_| invalid_url(url, key))?;
                builder = builder.with_config(key, value);
            }
            if let Some(endpoint) = secret.get("AZURE_STORAGE_ENDPOINT") {
                options = options.with_allow_http(is_plain_http(endpoint)?);
                builder = builder.with_endpoint(endpoint.to_owned());
            }
        }
    }
    let built = builder
        .with_container_name(bucket(url, parsed)?)
        .with_retry(retry_config())
        .with_http_connector(http)
        .with_client_options(options)
        .build();
    Ok(Arc::new(built.map_err(|error| invalid_url(url, &error.to_string()))?))
}

fn open_http(url: &str, parsed: &Url, credentials: Option<&StoreCredentials>, http: Connector) -> OpenResult {
    let mut headers = HeaderMap::new();
    if let Some(secret) = bucket_secret(url, credentials)? {
        secret.values(Scheme::Http)?.for_each(drop);
        if let Some(text) = authorization(secret) {
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                StoreError::Config(format!("Secret {}: a value is not valid in an HTTP header", secret.name))
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
    let options = ClientOptions::new().with_default_headers(headers).with_allow_http(parsed.scheme() == "http");
    let mut root = parsed.clone();
    root.set_path("/");
    let builder = HttpBuilder::new()
        .with_url(root)
        .with_retry(retry_config())
        .with_http_connector(http)
        .with_client_options(options);
    let built = builder.build();
    Ok(Arc::new(built.map_err(|error| invalid_url(url, &error.to_string()))?))
}

/// The header `Authorization` for a web server; `None` if the Secret only states how to reach it.
fn authorization(secret: &BucketSecret) -> Option<String> {
    if let Some(token) = secret.get("HTTP_BEARER_TOKEN") {
        return Some(format!("Bearer {token}"));
    }
    let (user, password) = (secret.get("HTTP_USERNAME")?, secret.get("HTTP_PASSWORD")?);
    Some(format!("Basic {}", base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"))))
}

/// The Secret of the credentials, if any. An access key of the embedded store is valid for S3 only.
fn bucket_secret<'a>(
    url: &str,
    credentials: Option<&'a StoreCredentials>,
) -> Result<Option<&'a BucketSecret>, StoreError> {
    match credentials {
        None => Ok(None),
        Some(StoreCredentials::Secret(secret)) => Ok(Some(secret)),
        Some(StoreCredentials::AccessKey { .. }) => {
            Err(invalid_url(url, "an S3 access key is not valid for this scheme"))
        }
    }
}

fn bucket<'a>(url: &str, parsed: &'a Url) -> Result<&'a str, StoreError> {
    parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid_url(url, "the bucket is missing"))
}

/// Whether an endpoint is plain HTTP. The caller allows plain HTTP only if the endpoint is
/// configured explicitly.
fn is_plain_http(endpoint: &str) -> Result<bool, StoreError> {
    match Url::parse(endpoint).map_err(|error| invalid_url(endpoint, &error.to_string()))?.scheme() {
        "https" => Ok(false),
        "http" => Ok(true),
        other => Err(invalid_url(endpoint, &format!("scheme {other:?}: expected http or https"))),
    }
}

fn retry_config() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: limits::BACKOFF_FIRST, max_backoff: limits::BACKOFF_MAX, base: 2.0 },
        max_retries: limits::RETRIES_MAX,
        retry_timeout: limits::RETRY_BUDGET,
    }
}

fn invalid_url(url: &str, why: &str) -> StoreError {
    StoreError::Config(format!(
        "url {url:?}: {why}; expected s3://<bucket>, gs://<bucket>, az://<container> or file:///<directory>"
    ))
}

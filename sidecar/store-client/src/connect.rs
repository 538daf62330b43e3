//! From a URL to an open bucket or directory, with TLS, timeouts and retries set up.

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

use crate::{Scheme, StoreCredentials, StoreError, limits};

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

/// Opens `s3://`, `gs://` or `az://` with a bucket and perhaps a path, `http(s)://` with a host and a path, or
/// `file:///directory`; sends nothing. A directory is created when it is not there. `endpoint` and `region` are S3's.
/// Without credentials a bucket is opened as the process may by itself: environment, web identity, metadata service.
pub fn connect(
    url: &str,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
) -> Result<Location, StoreError> {
    let parsed = Url::parse(url).map_err(|error| unusable(url, &error.to_string()))?;
    if parsed.scheme() == "file" {
        return open_directory(url, &parsed);
    }
    install_tls_provider();
    let object_store: Arc<dyn ObjectStore> = match Scheme::of(url) {
        Some(Scheme::S3) => open_s3(url, &parsed, endpoint, region, credentials)?,
        Some(Scheme::Gcs) => open_gcs(url, &parsed, credentials)?,
        Some(Scheme::Azure) => open_azure(url, &parsed, credentials)?,
        Some(Scheme::Http) => open_http(url, &parsed, credentials)?,
        None => return Err(unusable(url, &format!("scheme {:?} is not supported", parsed.scheme()))),
    };
    let key = parsed.path().trim_matches('/').to_owned();
    let key_prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
    Ok(Location { object_store, key_prefix, key })
}

fn open_directory(url: &str, parsed: &Url) -> Result<Location, StoreError> {
    let path: PathBuf =
        parsed.to_file_path().map_err(|()| unusable(url, "a file URL needs an absolute path and no host"))?;
    std::fs::create_dir_all(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
    let directory = LocalFileSystem::new_with_prefix(&path).map_err(|error| unusable(url, &error.to_string()))?;
    let object_store = Arc::new(directory.with_fsync(true));
    Ok(Location { object_store, key_prefix: String::new(), key: String::new() })
}

type Opened = Result<Arc<dyn ObjectStore>, StoreError>;

fn open_s3(
    url: &str,
    parsed: &Url,
    endpoint: Option<&str>,
    region: &str,
    credentials: Option<&StoreCredentials>,
) -> Opened {
    // A given key stands alone: what the environment says is meant for another bucket then.
    let mut builder = match credentials {
        None => {
            let builder = AmazonS3Builder::from_env();
            // Of the two, the environment knows better where it runs.
            let known = builder.get_config_value(&AmazonS3ConfigKey::Region).is_some();
            if known { builder } else { builder.with_region(region) }
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
                let key: AmazonS3ConfigKey = key.to_ascii_lowercase().parse().map_err(|_| unusable(url, key))?;
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
        .with_retry(retry_config());
    let mut options = client_options();
    if let Some(endpoint) = endpoint {
        if is_plain_http(&endpoint)? {
            // No CA roots are read for a service that has no TLS: an image without them works, and memory is saved.
            // Credentials from the environment may need HTTPS elsewhere (STS), so those keep the roots.
            options = options.with_allow_http(true).with_no_system_certificates(credentials.is_some());
        }
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Arc::new(builder.with_client_options(options).build().map_err(|error| unusable(url, &error.to_string()))?))
}

fn open_gcs(url: &str, parsed: &Url, credentials: Option<&StoreCredentials>) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::new();
    let mut options = client_options();
    match given(url, credentials)? {
        None => builder = GoogleCloudStorageBuilder::from_env(),
        Some(secret) => {
            for (key, value) in secret.values(Scheme::Gcs)? {
                let key: GoogleConfigKey = key.to_ascii_lowercase().parse().map_err(|_| unusable(url, key))?;
                builder = builder.with_config(key, value);
            }
            if let Some(base) = secret.get("GOOGLE_BASE_URL") {
                options = options.with_allow_http(is_plain_http(base)?);
            }
        }
    }
    let built =
        builder.with_bucket_name(bucket(url, parsed)?).with_retry(retry_config()).with_client_options(options).build();
    Ok(Arc::new(built.map_err(|error| unusable(url, &error.to_string()))?))
}

fn open_azure(url: &str, parsed: &Url, credentials: Option<&StoreCredentials>) -> Opened {
    let mut builder = MicrosoftAzureBuilder::new();
    let mut options = client_options();
    match given(url, credentials)? {
        None => builder = MicrosoftAzureBuilder::from_env(),
        Some(secret) => {
            for (key, value) in secret.values(Scheme::Azure)? {
                let key: AzureConfigKey = key.to_ascii_lowercase().parse().map_err(|_| unusable(url, key))?;
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
        .with_client_options(options)
        .build();
    Ok(Arc::new(built.map_err(|error| unusable(url, &error.to_string()))?))
}

fn open_http(url: &str, parsed: &Url, credentials: Option<&StoreCredentials>) -> Opened {
    let mut headers = HeaderMap::new();
    if let Some(secret) = given(url, credentials)? {
        secret.values(Scheme::Http)?.for_each(drop);
        let text = if let Some(token) = secret.get("HTTP_BEARER_TOKEN") {
            format!("Bearer {token}")
        } else {
            use base64_simd::STANDARD;
            let [user, password] = ["HTTP_USERNAME", "HTTP_PASSWORD"].map(|key| secret.get(key).unwrap_or_default());
            format!("Basic {}", STANDARD.encode_to_string(format!("{user}:{password}")))
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| StoreError::Config(format!("Secret {}: a value that no HTTP header may hold", secret.name)))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let options = client_options().with_default_headers(headers).with_allow_http(parsed.scheme() == "http");
    let mut root = parsed.clone();
    root.set_path("/");
    let built = HttpBuilder::new().with_url(root).with_retry(retry_config()).with_client_options(options).build();
    Ok(Arc::new(built.map_err(|error| unusable(url, &error.to_string()))?))
}

/// The Secret, if one is given. An access key of the embedded store opens S3 only.
fn given<'a>(
    url: &str,
    credentials: Option<&'a StoreCredentials>,
) -> Result<Option<&'a crate::BucketSecret>, StoreError> {
    match credentials {
        None => Ok(None),
        Some(StoreCredentials::Secret(secret)) => Ok(Some(secret)),
        Some(StoreCredentials::AccessKey { .. }) => Err(unusable(url, "an access key of S3 does not open it")),
    }
}

fn bucket<'a>(url: &str, parsed: &'a Url) -> Result<&'a str, StoreError> {
    parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| unusable(url, "it names no bucket"))
}

/// Whether an endpoint is spoken to without TLS, which somebody must have asked for.
fn is_plain_http(endpoint: &str) -> Result<bool, StoreError> {
    match Url::parse(endpoint).map_err(|error| unusable(endpoint, &error.to_string()))?.scheme() {
        "https" => Ok(false),
        "http" => Ok(true),
        other => Err(unusable(endpoint, &format!("scheme {other:?}: expected http or https"))),
    }
}

fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(limits::CONNECT_TIMEOUT)
        // A whole snapshot takes as long as it takes; what is bounded is silence.
        .with_timeout_disabled()
        .with_read_timeout(limits::READ_TIMEOUT)
        .with_pool_max_idle_per_host(limits::IDLE_CONNECTIONS_MAX)
}

fn retry_config() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: limits::BACKOFF_FIRST, max_backoff: limits::BACKOFF_MAX, base: 2.0 },
        max_retries: limits::RETRIES_MAX,
        retry_timeout: limits::RETRY_BUDGET,
    }
}

fn unusable(url: &str, why: &str) -> StoreError {
    StoreError::Config(format!(
        "url {url:?}: {why}; expected s3://<bucket>, gs://<bucket>, az://<container> or file:///<directory>"
    ))
}

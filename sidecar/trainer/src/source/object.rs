//! Objects in a user's bucket, or a file on a web server. They are read with the user's Secret or
//! with the process's own identity. A trailing slash stands for every object below a prefix.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use serde_json::{Value, json};
use sidecar_contract::{Digest, canonical_json};
use store_client::{BucketSecret, Rejection, Scheme, StoreCredentials, StoreError};
use tokio::runtime::Handle;

use super::{FILES_MAX, Part, ReadAt, Stat, is_data, no_files, not_found, reject_tables, too_many_files};
use crate::failure::{FailureReason, RunError, chain};

/// Environment variables of the process that the S3 client does not read by itself.
const ENDPOINT_ENV: &str = "AWS_ENDPOINT_URL";
const REGION_ENV: &str = "AWS_REGION";
/// Region of S3 requests that name none.
const DEFAULT_REGION: &str = "us-east-1";

/// Maximum length of an error's text in a message.
const CAUSE_CHARS_MAX: usize = 600;

pub(super) struct ObjectSource {
    bucket: Arc<dyn ObjectStore>,
    key: Path,
    /// Whether the key is a prefix.
    is_prefix: bool,
    access: Access,
}

/// Context for error messages about a bucket.
#[derive(Clone)]
struct Access {
    spec_field: &'static str,
    scheme: Scheme,
    /// Name of the Secret with the credentials.
    secret: Option<String>,
}

impl ObjectSource {
    /// The path of a bucket's URL is the literal key: it is not percent-encoded.
    pub(super) fn new(
        scheme: Scheme,
        url: &str,
        described_as: &str,
        spec_field: &'static str,
        secret: Option<&BucketSecret>,
    ) -> Result<Self, RunError> {
        let invalid = |problem: &str| {
            let form = match scheme {
                Scheme::S3 => "s3://<bucket>/<key> or s3://<bucket>/<prefix>/",
                Scheme::Gcs => "gs://<bucket>/<key> or gs://<bucket>/<prefix>/",
                Scheme::Azure => "az://<container>/<key> or az://<container>/<prefix>/",
                Scheme::Http => "https://<host>/<path> of one file, without a query",
            };
            RunError::permanent(
                FailureReason::ConfigInvalid,
                format!("{described_as}: {url} {problem}; expected {form}"),
            )
        };
        let (start, rest) = url.split_once("://").ok_or_else(|| invalid("is not a URL"))?;
        let (bucket, key) = rest.split_once('/').ok_or_else(|| invalid("has no object key"))?;
        if bucket.is_empty() {
            return Err(invalid("has no bucket"));
        }
        let is_prefix = key.is_empty() || key.ends_with('/');
        let key = match scheme {
            Scheme::Http if is_prefix => {
                return Err(invalid("has no file name, and directories of a web server cannot be listed"));
            }
            Scheme::Http if key.contains(['?', '#']) => return Err(invalid("has a query")),
            Scheme::Http => Path::from_url_path(key),
            Scheme::S3 | Scheme::Gcs | Scheme::Azure => Path::parse(key),
        };
        let key = key.map_err(|_| invalid("has an invalid key"))?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = if secret.is_none() { variable(ENDPOINT_ENV) } else { None };
        let region = variable(REGION_ENV).filter(|_| secret.is_none()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let credentials = secret.cloned().map(StoreCredentials::Secret);
        let location =
            store_client::connect(&format!("{start}://{bucket}"), endpoint.as_deref(), &region, credentials.as_ref())
                .map_err(|error| match (error, secret) {
                // The Secret lacks keys, or has malformed values.
                (StoreError::Config(problem), Some(_)) => not_found(format!("{spec_field}.secretRef: {problem}")),
                (error, _) => {
                    RunError::permanent(FailureReason::ConfigInvalid, format!("{described_as}: {}", chain(&error)))
                }
            })?;
        let access = Access { spec_field, scheme, secret: secret.map(|secret| secret.name.clone()) };
        Ok(Self { bucket: location.object_store, key, is_prefix, access })
    }

    pub(super) async fn stat(&self, described_as: &str) -> Result<Stat, RunError> {
        if self.is_prefix {
            return self.stat_prefix(described_as).await;
        }
        let meta = match self.bucket.head(&self.key).await {
            Ok(meta) => meta,
            Err(error) => {
                let below = self.bucket.list(Some(&self.key)).next().await;
                if matches!((&error, below), (object_store::Error::NotFound { .. }, Some(Ok(_)))) {
                    let field = self.access.spec_field;
                    return Err(not_found(format!(
                        "{described_as} is not an object, but a prefix of objects: end {field}.url with a slash to read them all"
                    )));
                }
                return Err(self.access.failed(described_as, &error));
            }
        };
        Ok(Stat {
            version: Digest::of(canonical_json(&version_key(&meta, described_as)?).as_bytes()),
            size_bytes: meta.size,
            parts: vec![part(&meta, described_as.to_owned())],
        })
    }

    /// Every object below the prefix, ordered by key.
    async fn stat_prefix(&self, described_as: &str) -> Result<Stat, RunError> {
        let prefix = (!self.key.as_ref().is_empty()).then_some(&self.key);
        let below = |key: &Path| {
            let key = key.as_ref();
            key.strip_prefix(self.key.as_ref()).unwrap_or(key).trim_start_matches('/').to_owned()
        };
        let mut found: Vec<(String, ObjectMeta)> = Vec::new();
        let mut listed = self.bucket.list(prefix);
        while let Some(meta) = listed.try_next().await.map_err(|error| self.access.failed(described_as, &error))? {
            let below = below(&meta.location);
            reject_tables(&below, described_as)?;
            if is_data(&below, meta.size) {
                found.push((below, meta));
            }
            if found.len() > FILES_MAX {
                return Err(too_many_files(described_as));
            }
        }
        if found.is_empty() {
            return Err(no_files(described_as));
        }
        found.sort_by(|(_, a), (_, b)| a.location.as_ref().cmp(b.location.as_ref()));
        let known: Vec<Value> =
            found.iter().map(|(_, meta)| version_key(meta, described_as)).collect::<Result<_, _>>()?;
        Ok(Stat {
            version: Digest::of(canonical_json(&known).as_bytes()),
            size_bytes: found.iter().map(|(_, meta)| meta.size).sum(),
            parts: found.iter().map(|(below, meta)| part(meta, format!("{below} of {described_as}"))).collect(),
        })
    }

    pub(super) fn open(&self, part: &Part) -> Result<Box<dyn Read>, RunError> {
        let object = self.object(part);
        let stream = object.wait(object.bucket.get(&object.key))?.into_stream();
        Ok(Box::new(ObjectReader { object, stream, rest: Bytes::new() }))
    }

    pub(super) fn open_at(&self, part: &Part) -> Arc<dyn ReadAt> {
        Arc::new(self.object(part))
    }

    fn object(&self, part: &Part) -> Object {
        Object {
            bucket: self.bucket.clone(),
            // The key as it was listed: `Path::from` would encode `~`, `%`, `#` and others again.
            key: Path::parse(&part.name).unwrap_or_else(|_| Path::from(part.name.as_str())),
            described_as: part.described_as.clone(),
            size_bytes: part.size_bytes,
            access: self.access.clone(),
        }
    }
}

fn part(meta: &ObjectMeta, described_as: String) -> Part {
    Part { name: meta.location.to_string(), described_as, size_bytes: meta.size }
}

/// Identifies a version of an object: it changes when the content changes.
fn version_key(meta: &ObjectMeta, described_as: &str) -> Result<Value, RunError> {
    let (key, size) = (meta.location.as_ref(), meta.size);
    if meta.e_tag.is_some() {
        return Ok(json!({"key": key, "etag": meta.e_tag, "sizeBytes": size}));
    }
    match meta.last_modified.timestamp_micros() {
        // `object_store` returns 1970 if the server sends no modification time.
        0 => Err(RunError::bad_data(format!(
            "{described_as}: the server sends neither ETag nor Last-Modified, so changes cannot be detected. Use a server that \
             sends one of them"
        ))),
        modified => Ok(json!({"key": key, "modifiedMicros": modified, "sizeBytes": size})),
    }
}

struct Object {
    bucket: Arc<dyn ObjectStore>,
    key: Path,
    described_as: String,
    size_bytes: u64,
    access: Access,
}

impl Object {
    /// Waits for a response; the current thread must be allowed to block.
    fn wait<T>(&self, response: impl Future<Output = object_store::Result<T>>) -> Result<T, RunError> {
        Handle::current().block_on(response).map_err(|error| self.access.failed(&self.described_as, &error))
    }
}

impl ReadAt for Object {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, start: u64, length: usize) -> Result<Bytes, RunError> {
        let bytes = self.wait(self.bucket.get_range(&self.key, start..start + length as u64))?;
        if bytes.len() == length {
            return Ok(bytes);
        }
        Err(RunError::transient(format!("{}: the store sent {} of {length} bytes", self.described_as, bytes.len())))
    }
}

struct ObjectReader {
    object: Object,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    rest: Bytes,
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.object.wait(self.stream.try_next()).map_err(io::Error::other)? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let length = self.rest.len().min(into.len());
        self.rest.copy_to_slice(into.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

impl Access {
    fn failed(&self, described_as: &str, error: &object_store::Error) -> RunError {
        let field = self.spec_field;
        match (Rejection::of(error), error) {
            (Some(Rejection::NotFound), _) => {
                not_found(format!("{described_as} does not exist: no such bucket or object. Check {field}"))
            }
            (Some(Rejection::Denied), _) => {
                let keys = match self.scheme {
                    Scheme::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    Scheme::Gcs => "GOOGLE_SERVICE_ACCOUNT_KEY",
                    Scheme::Azure => "AZURE_STORAGE_ACCOUNT_KEY or an alternative to it",
                    Scheme::Http => "HTTP_USERNAME and HTTP_PASSWORD, or HTTP_BEARER_TOKEN",
                };
                not_found(match &self.secret {
                    Some(secret) => format!(
                        "access to {described_as} was denied with these credentials. Check {keys} in the Secret {secret} of \
                         {field}.secretRef, and their permissions"
                    ),
                    None => format!(
                        "access to {described_as} was denied for the trainer's own identity. Set {field}.secretRef to a Secret \
                         with {keys}, or grant training.serviceAccountName read access"
                    ),
                })
            }
            (None, object_store::Error::NotSupported { .. }) => RunError::bad_data(format!(
                "{described_as}: the server does not support range requests, which Parquet requires. Write the file as csv or \
                 jsonl, or store it in a bucket"
            )),
            (None, _) => {
                // A server may respond with a whole HTML page.
                let cause: String = chain(error).chars().take(CAUSE_CHARS_MAX).collect();
                RunError::source_unreachable(format!("cannot read {described_as}: {cause}"))
            }
        }
    }
}

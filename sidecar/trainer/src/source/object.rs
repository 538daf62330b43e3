//! Objects in a bucket of the user's, or one that a web server has, read with the user's Secret or as the process may by
//! itself. A trailing slash stands for every object below a prefix.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use serde_json::{Value, json};
use sidecar_contract::{Digest, canonical_json};
use store_client::{BucketSecret, Refusal, Scheme, StoreCredentials};
use tokio::runtime::Handle;

use super::{FILES_MAX, Part, ReadAt, Stat, is_data, no_files, not_found, refuse_tables, too_many_files};
use crate::failure::{FailureReason, Stop, chain};

/// Environment variables of the process that S3's own library does not read.
const ENDPOINT_ENV: &str = "AWS_ENDPOINT_URL";
const REGION_ENV: &str = "AWS_REGION";
/// What S3 takes a request without a region for.
const REGION_BY_DEFAULT: &str = "us-east-1";

/// How much of an error's text a message holds.
const CAUSE_CHARS_MAX: usize = 600;

pub(super) struct ObjectSource {
    bucket: Arc<dyn ObjectStore>,
    key: Path,
    /// Whether it is a prefix.
    many: bool,
    access: Access,
}

/// How to say what is wrong with a bucket.
#[derive(Clone)]
struct Access {
    spec_field: &'static str,
    scheme: Scheme,
    /// Name of the Secret.
    secret: Option<String>,
}

impl ObjectSource {
    /// The path of a bucket's URL is its key as it is: not percent-encoded.
    pub(super) fn new(
        scheme: Scheme,
        url: &str,
        described_as: &str,
        spec_field: &'static str,
        secret: Option<&BucketSecret>,
    ) -> Result<Self, Stop> {
        let invalid = |problem: &str| {
            let form = match scheme {
                Scheme::S3 => "s3://<bucket>/<key> or s3://<bucket>/<prefix>/",
                Scheme::Gcs => "gs://<bucket>/<key> or gs://<bucket>/<prefix>/",
                Scheme::Azure => "az://<container>/<key> or az://<container>/<prefix>/",
                Scheme::Http => "https://<host>/<path> of one file, without a query",
            };
            Stop::failed(FailureReason::ConfigInvalid, format!("{described_as}: {url} {problem}; expected {form}"))
        };
        let (start, place) = url.split_once("://").ok_or_else(|| invalid("is no URL"))?;
        let (bucket, key) = place.split_once('/').ok_or_else(|| invalid("names no object"))?;
        if bucket.is_empty() {
            return Err(invalid("names no bucket"));
        }
        let many = key.is_empty() || key.ends_with('/');
        let key = match scheme {
            Scheme::Http if many => return Err(invalid("names no file, and a web server lists none")),
            Scheme::Http if key.contains(['?', '#']) => return Err(invalid("has a query")),
            Scheme::Http => Path::from_url_path(key),
            Scheme::S3 | Scheme::Gcs | Scheme::Azure => Path::parse(key),
        };
        let key = key.map_err(|_| invalid("has a key that is not valid"))?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = if secret.is_none() { variable(ENDPOINT_ENV) } else { None };
        let region = variable(REGION_ENV).filter(|_| secret.is_none()).unwrap_or_else(|| REGION_BY_DEFAULT.to_owned());
        let credentials = secret.cloned().map(StoreCredentials::Secret);
        let location =
            store_client::connect(&format!("{start}://{bucket}"), endpoint.as_deref(), &region, credentials.as_ref())
                .map_err(|error| {
                Stop::failed(FailureReason::ConfigInvalid, format!("{described_as}: {}", chain(&error)))
            })?;
        let access = Access { spec_field, scheme, secret: secret.map(|secret| secret.name.clone()) };
        Ok(Self { bucket: location.object_store, key, many, access })
    }

    pub(super) async fn stat(&self, described_as: &str) -> Result<Stat, Stop> {
        if self.many {
            return self.stat_prefix(described_as).await;
        }
        let meta = match self.bucket.head(&self.key).await {
            Ok(meta) => meta,
            Err(error) => {
                let below = self.bucket.list(Some(&self.key)).next().await;
                if matches!((&error, below), (object_store::Error::NotFound { .. }, Some(Ok(_)))) {
                    let field = self.access.spec_field;
                    return Err(not_found(format!(
                        "{described_as} is no object, but there are objects below it: end {field}.url with a slash to read them all"
                    )));
                }
                return Err(self.access.failed(described_as, &error));
            }
        };
        Ok(Stat {
            version: Digest::of(canonical_json(&known_by(&meta, described_as)?).as_bytes()),
            size_bytes: meta.size,
            parts: vec![part(&meta, described_as.to_owned())],
        })
    }

    /// Every object below, in the order of keys.
    async fn stat_prefix(&self, described_as: &str) -> Result<Stat, Stop> {
        let prefix = (!self.key.as_ref().is_empty()).then_some(&self.key);
        let below = |key: &Path| {
            let key = key.as_ref();
            key.strip_prefix(self.key.as_ref()).unwrap_or(key).trim_start_matches('/').to_owned()
        };
        let mut found: Vec<(String, ObjectMeta)> = Vec::new();
        let mut listed = self.bucket.list(prefix);
        while let Some(meta) = listed.try_next().await.map_err(|error| self.access.failed(described_as, &error))? {
            let below = below(&meta.location);
            refuse_tables(&below, described_as)?;
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
        let known: Vec<Value> = found.iter().map(|(_, meta)| known_by(meta, described_as)).collect::<Result<_, _>>()?;
        Ok(Stat {
            version: Digest::of(canonical_json(&known).as_bytes()),
            size_bytes: found.iter().map(|(_, meta)| meta.size).sum(),
            parts: found.iter().map(|(below, meta)| part(meta, format!("{below} of {described_as}"))).collect(),
        })
    }

    pub(super) fn open(&self, part: &Part) -> Result<Box<dyn Read>, Stop> {
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
            key: Path::from(part.name.as_str()),
            described_as: part.described_as.clone(),
            size_bytes: part.size_bytes,
            access: self.access.clone(),
        }
    }
}

fn part(meta: &ObjectMeta, described_as: String) -> Part {
    Part { name: meta.location.to_string(), described_as, size_bytes: meta.size }
}

/// What must change for the data to have changed.
fn known_by(meta: &ObjectMeta, described_as: &str) -> Result<Value, Stop> {
    let (key, size) = (meta.location.as_ref(), meta.size);
    if meta.e_tag.is_some() {
        return Ok(json!({"key": key, "etag": meta.e_tag, "sizeBytes": size}));
    }
    match meta.last_modified.timestamp_micros() {
        // 1970 is what stands for a server that does not say.
        0 => Err(Stop::bad_data(format!(
            "{described_as}: the server says neither ETag nor Last-Modified of it, so that a change could not be seen. Serve it by \
             a server that does"
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
    /// Waits for an answer, on a thread that may block.
    fn wait<T>(&self, answer: impl Future<Output = object_store::Result<T>>) -> Result<T, Stop> {
        Handle::current().block_on(answer).map_err(|error| self.access.failed(&self.described_as, &error))
    }
}

impl ReadAt for Object {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, start: u64, length: usize) -> Result<Bytes, Stop> {
        let bytes = self.wait(self.bucket.get_range(&self.key, start..start + length as u64))?;
        if bytes.len() == length {
            return Ok(bytes);
        }
        Err(Stop::retry(format!("{}: the store sent {} of {length} bytes", self.described_as, bytes.len())))
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
    fn failed(&self, described_as: &str, error: &object_store::Error) -> Stop {
        let field = self.spec_field;
        match (Refusal::of(error), error) {
            (Some(Refusal::NotFound), _) => {
                not_found(format!("{described_as} is not there: no such bucket or object. Check {field}"))
            }
            (Some(Refusal::Denied), _) => {
                let keys = match self.scheme {
                    Scheme::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    Scheme::Gcs => "GOOGLE_SERVICE_ACCOUNT_KEY",
                    Scheme::Azure => "AZURE_STORAGE_ACCOUNT_KEY or what stands for it",
                    Scheme::Http => "HTTP_USERNAME and HTTP_PASSWORD, or HTTP_BEARER_TOKEN",
                };
                not_found(match &self.secret {
                    Some(secret) => format!(
                        "{described_as} may not be read with these credentials. Check {keys} in the Secret {secret} that \
                         {field}.secretRef names, and what they may read"
                    ),
                    None => format!(
                        "{described_as} may not be read by the trainer's own identity. Name a Secret in {field}.secretRef with \
                         {keys}, or let training.serviceAccountName read it"
                    ),
                })
            }
            (None, object_store::Error::NotSupported { .. }) => Stop::bad_data(format!(
                "{described_as}: the server does not send parts of a file, which Parquet needs. Write it as csv or jsonl, or keep it \
                 in a bucket"
            )),
            (None, _) => {
                // A server's answer may be a page.
                let cause: String = chain(error).chars().take(CAUSE_CHARS_MAX).collect();
                Stop::retry(format!("cannot read {described_as}: {cause}"))
            }
        }
    }
}

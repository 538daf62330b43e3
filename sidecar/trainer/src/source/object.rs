//! Objects in a bucket of the user's, read with the user's credentials from the environment (`AWS_*`). A trailing slash
//! stands for every object below a prefix.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use serde_json::{Value, json};
use sidecar_contract::{Digest, canonical_json};
use tokio::runtime::Handle;

use super::{FILES_MAX, Part, ReadAt, Stat, is_data, no_files, not_found, refuse_tables, too_many_files};
use crate::failure::{FailureReason, Stop, chain};

/// Environment variables that the operator takes over from the user's Secret, beside the access key itself.
const ENDPOINT_ENV: &str = "AWS_ENDPOINT_URL";
const REGION_ENV: &str = "AWS_REGION";
/// What S3 takes a request without a region for.
const REGION_BY_DEFAULT: &str = "us-east-1";

pub(super) struct ObjectSource {
    bucket: Arc<dyn ObjectStore>,
    key: Path,
    /// Whether it is a prefix.
    many: bool,
    access: Access,
}

/// How to say what is wrong with a bucket.
#[derive(Clone, Copy)]
struct Access {
    spec_field: &'static str,
}

impl ObjectSource {
    /// `place` is `bucket/key`, as it is: not percent-encoded.
    pub(super) fn new(place: &str, described_as: &str, spec_field: &'static str) -> Result<Self, Stop> {
        let invalid = |problem: &str| {
            Stop::failed(
                FailureReason::ConfigInvalid,
                format!(
                    "{described_as}: s3://{place} {problem}; expected s3://<bucket>/<key> or s3://<bucket>/<prefix>/"
                ),
            )
        };
        let (bucket, key) = place.split_once('/').ok_or_else(|| invalid("names no object"))?;
        if bucket.is_empty() {
            return Err(invalid("names no bucket"));
        }
        let many = key.is_empty() || key.ends_with('/');
        let key = Path::parse(key).map_err(|_| invalid("has a key that is not valid"))?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = variable(ENDPOINT_ENV);
        let region = variable(REGION_ENV).unwrap_or_else(|| REGION_BY_DEFAULT.to_owned());
        let location = store_client::connect(&format!("s3://{bucket}"), endpoint.as_deref(), &region, None)
            .map_err(|error| invalid(&format!("cannot be opened ({})", chain(&error))))?;
        Ok(Self { bucket: location.object_store, key, many, access: Access { spec_field } })
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
            version: Digest::of(canonical_json(&known_by(&meta)).as_bytes()),
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
        let known: Vec<Value> = found.iter().map(|(_, meta)| known_by(meta)).collect();
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
            access: self.access,
        }
    }
}

fn part(meta: &ObjectMeta, described_as: String) -> Part {
    Part { name: meta.location.to_string(), described_as, size_bytes: meta.size }
}

fn known_by(meta: &ObjectMeta) -> Value {
    json!({"key": meta.location.as_ref(), "etag": meta.e_tag, "sizeBytes": meta.size})
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
    fn failed(self, described_as: &str, error: &object_store::Error) -> Stop {
        use object_store::Error as E;
        let field = self.spec_field;
        match error {
            E::NotFound { .. } => {
                not_found(format!("{described_as} is not there: no such bucket or object. Check {field}"))
            }
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => not_found(format!(
                "{described_as} may not be read with these credentials. Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the \
                 Secret that {field}.secretRef names"
            )),
            _ => Stop::retry(format!("cannot read {described_as}: {}", chain(error))),
        }
    }
}

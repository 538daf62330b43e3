//! An object in an S3 bucket of the user's, read with the user's credentials from the environment (`AWS_*`).

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use sidecar_contract::{Digest, canonical_json};

use super::{Stat, not_found};
use crate::failure::{FailureReason, Stop, chain};

/// Environment variables that the operator takes over from the user's Secret, beside the access key itself.
const ENDPOINT_ENV: &str = "AWS_ENDPOINT_URL";
const REGION_ENV: &str = "AWS_REGION";
/// What S3 takes a request without a region for.
const REGION_BY_DEFAULT: &str = "us-east-1";

pub(super) struct ObjectSource {
    bucket: Arc<dyn ObjectStore>,
    key: Path,
}

pub(crate) struct ObjectChunks {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    described_as: String,
}

impl ObjectSource {
    /// `place` is `bucket/key`, as it is: not percent-encoded.
    pub(super) fn new(place: &str, described_as: &str) -> Result<Self, Stop> {
        let invalid = |problem: &str| {
            Stop::failed(
                FailureReason::ConfigInvalid,
                format!("{described_as}: s3://{place} {problem}; expected s3://<bucket>/<key>"),
            )
        };
        let (bucket, key) = place.split_once('/').ok_or_else(|| invalid("names no object"))?;
        if bucket.is_empty() || key.is_empty() {
            return Err(invalid("names no object"));
        }
        let key = Path::parse(key).map_err(|_| invalid("has a key that is not valid"))?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = variable(ENDPOINT_ENV);
        let region = variable(REGION_ENV).unwrap_or_else(|| REGION_BY_DEFAULT.to_owned());
        let location = store_client::connect(&format!("s3://{bucket}"), endpoint.as_deref(), &region, None)
            .map_err(|error| invalid(&format!("cannot be opened ({})", chain(&error))))?;
        Ok(Self { bucket: location.object_store, key })
    }

    pub(super) async fn stat(&self, described_as: &str) -> Result<Stat, Stop> {
        let meta = self.bucket.head(&self.key).await.map_err(|error| failed(described_as, &error))?;
        let known_by = serde_json::json!({
            "key": meta.location.as_ref(),
            "etag": meta.e_tag,
            "sizeBytes": meta.size,
        });
        Ok(Stat { version: Digest::of(canonical_json(&known_by).as_bytes()), size_bytes: meta.size })
    }

    pub(super) async fn read(&self, described_as: &str) -> Result<ObjectChunks, Stop> {
        let found = self.bucket.get(&self.key).await.map_err(|error| failed(described_as, &error))?;
        Ok(ObjectChunks { stream: found.into_stream(), described_as: described_as.to_owned() })
    }
}

impl ObjectChunks {
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Stop> {
        self.stream.next().await.transpose().map_err(|error| failed(&self.described_as, &error))
    }
}

fn failed(described_as: &str, error: &object_store::Error) -> Stop {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => {
            not_found(format!("{described_as} is not there: no such bucket or object. Check spec.data.source"))
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => not_found(format!(
            "{described_as} may not be read with these credentials. Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the \
             Secret that spec.data.source.secretRef names"
        )),
        _ => Stop::retry(format!("cannot read {described_as}: {}", chain(error))),
    }
}

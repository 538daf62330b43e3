//! Authentication and authorization. Both work without stored credentials: the access key id names
//! the Recommender and the role, and its secret is derived from the root key.
//!
//! | role     | allowed, below `<installation id>/<namespace>/<name>/`               |
//! |----------|----------------------------------------------------------------------|
//! | train    | read, list, create                                                   |
//! | serve    | read                                                                 |
//! | operator | read, list, delete                                                   |
//!
//! Everything else is denied before the body is read, including any other prefix or bucket. An
//! allowed request also needs a slot before its body is read.

use s3s::{
    S3Request, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    dto::{DeleteObjectsInput, ListObjectsV2Input},
    s3_error,
};
use sidecar_contract::{
    Digest, KeyLayout,
    credentials::{AccessKeyId, Role, derive_secret},
    store::EMBEDDED_BUCKET,
};

use crate::{
    disk::PutMode, limits::REQUESTS_MAX, metrics::Operation, request_record::RequestRecord, request_slots::RequestSlots,
};

/// Derives the secret of any access key id.
pub struct DerivedKeys {
    root_key: Vec<u8>,
}

impl DerivedKeys {
    /// Derives secrets from `root_key`.
    pub fn new(root_key: Vec<u8>) -> Self {
        Self { root_key }
    }
}

#[async_trait::async_trait]
impl S3Auth for DerivedKeys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let id = AccessKeyId::parse(access_key).ok_or_else(|| {
            s3_error!(InvalidAccessKeyId, "access key id: expected <namespace>.<name>.<train|serve|operator>")
        })?;
        Ok(derive_secret(&self.root_key, &id).into())
    }
}

/// Authorization of a request; stored in its extensions once it is authorized.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Access key id of the caller.
    pub id: AccessKeyId,
    /// Prefix of every key that the caller may access.
    pub prefix: String,
}

/// Conditions for putting an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRule {
    /// Whether it may replace an existing object.
    pub mode: PutMode,
    /// Required SHA-256 of the content.
    pub digest: Option<Digest>,
}

impl Grant {
    fn covers(&self, key: &str) -> bool {
        key.len() > self.prefix.len() && key.starts_with(&self.prefix)
    }

    /// The key of a snapshot is the digest of its content, so it may be put again if the content
    /// matches. Every other object is create-only.
    pub fn put_rule(&self, key: &str) -> PutRule {
        let snapshots = KeyLayout::new(self.prefix.as_str()).snapshots();
        let digest = key
            .strip_prefix(&snapshots)
            .and_then(|name| name.strip_suffix(".safetensors"))
            .and_then(|digest| Digest::try_from(digest.to_owned()).ok());
        let mode = if digest.is_some() { PutMode::Replace } else { PutMode::Create };
        PutRule { mode, digest }
    }
}

/// Implements the table of the module docs.
pub struct Policy {
    installation_id: String,
    slots: RequestSlots,
}

impl Policy {
    /// Policy of the installation with this id.
    pub fn new(installation_id: String) -> Self {
        Self { installation_id, slots: RequestSlots::new(REQUESTS_MAX) }
    }

    fn grant(&self, access_key: &str) -> Option<Grant> {
        let id = AccessKeyId::parse(access_key)?;
        let prefix = KeyLayout::recommender_prefix(&self.installation_id, &id.namespace, &id.name);
        Some(Grant { id, prefix })
    }
}

#[async_trait::async_trait]
impl S3Access for Policy {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = Operation::named(cx.s3_op().name());
        let record = RequestRecord::of(cx.extensions_mut());
        record.set_operation(operation);
        let grant = cx.credentials().and_then(|credentials| self.grant(&credentials.access_key));
        let Some(grant) = grant else { return Err(s3_error!(AccessDenied, "a signature is required")) };
        if cx.s3_path().get_bucket_name() != Some(EMBEDDED_BUCKET) {
            return Err(denied(&grant, "the only bucket is \"recmesh\""));
        }
        if !is_allowed(grant.id.role, operation) {
            return Err(denied(&grant, "its role does not allow this operation"));
        }
        if let Some(key) = cx.s3_path().get_object_key()
            && !grant.covers(key)
        {
            return Err(denied(&grant, "the key is outside its prefix"));
        }
        let Some(slot) = self.slots.acquire(&grant.id) else {
            return Err(s3_error!(SlowDown, "too many requests of this Recommender are in flight; retry later"));
        };
        record.hold(slot);
        cx.extensions_mut().insert(grant);
        Ok(())
    }

    async fn list_objects_v2(&self, req: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        let grant = granted(&req.extensions)?;
        if req.input.prefix.as_deref().is_some_and(|prefix| prefix.starts_with(&grant.prefix)) {
            return Ok(());
        }
        Err(denied(&grant, "a listing must specify a prefix that begins with its own"))
    }

    async fn delete_objects(&self, req: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        let grant = granted(&req.extensions)?;
        if req.input.delete.objects.iter().all(|object| grant.covers(&object.key)) {
            return Ok(());
        }
        Err(denied(&grant, "a key is outside its prefix"))
    }
}

/// Grant of an authorized request.
pub fn granted(extensions: &http::Extensions) -> S3Result<Grant> {
    extensions.get::<Grant>().cloned().ok_or_else(|| s3_error!(AccessDenied, "a signature is required"))
}

fn is_allowed(role: Role, operation: Operation) -> bool {
    match operation {
        Operation::GetObject | Operation::HeadObject | Operation::HeadBucket | Operation::GetBucketLocation => true,
        Operation::ListObjectsV2 => matches!(role, Role::Train | Role::Operator),
        Operation::PutObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::CompleteMultipartUpload
        | Operation::AbortMultipartUpload => role == Role::Train,
        Operation::DeleteObject | Operation::DeleteObjects => role == Role::Operator,
        Operation::Other => false,
    }
}

fn denied(grant: &Grant, why: &str) -> s3s::S3Error {
    s3_error!(AccessDenied, "{} is denied: {why} ({})", grant.id, grant.prefix)
}

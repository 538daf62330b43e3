//! Implements the S3 operations on the disk. `access` has already authorized the caller.

use std::{os::unix::fs::FileExt as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};
use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput,
        DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, EncodingType,
        GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
        HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
        PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};
use sidecar_contract::store::EMBEDDED_REGION;

use crate::{
    access::granted,
    byte_range, conditions,
    disk::{Disk, FileStat, PutMode, StoredObject},
    error, key_path,
    limits::{CHUNK_BYTES, COMPLETE_KEEPALIVE_DELAY, DELETE_KEYS_MAX, LIST_KEYS_MAX},
    listing::{self, Query},
    metrics::Metrics,
    receive::{self, Expected},
    request_record::RequestRecord,
    uploads::{self, PartName},
};

const OCTET_STREAM: &str = "application/octet-stream";

/// S3 operations of the embedded store.
pub struct Protocol {
    disk: Arc<Disk>,
    metrics: Metrics,
}

impl Protocol {
    /// Serves objects from `disk`.
    pub fn new(disk: Arc<Disk>, metrics: Metrics) -> Self {
        Self { disk, metrics }
    }

    /// Runs `work` for a request on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        record: &RequestRecord,
        work: impl FnOnce(&Disk) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let disk = Arc::clone(&self.disk);
        record.blocking(move || work(&disk)).await.map_err(|e| error::from_join(&e))?
    }
}

#[async_trait::async_trait]
impl S3 for Protocol {
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let input = req.input;
        let rule = granted(&req.extensions)?.put_rule(&input.key);
        conditions::only_absent(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let mode = if input.if_none_match.is_some() { PutMode::Create } else { rule.mode };
        let path = object_path(&input.key)?;
        let length = input.content_length.and_then(|bytes| u64::try_from(bytes).ok());
        let existing = path.clone();
        let temporary = self
            .blocking(&record, move |disk| {
                if mode == PutMode::Create && disk.head(&existing).is_ok() {
                    // Avoids receiving the body. `publish` detects an object that is created in the
                    // meantime.
                    return Err(error::precondition_failed());
                }
                check_free_space(disk, length)?;
                disk.temporary().map_err(|e| error::from_io("receive an object", &e))
            })
            .await?;
        let expected = Expected { bytes: length, digest: rule.digest };
        let (temporary, bytes) = receive::receive(&record, temporary, input.body, &req.headers, expected).await?;
        let stat = self
            .blocking(&record, move |disk| {
                disk.publish(temporary, &path, mode).map_err(|e| error::from_io("store an object", &e))
            })
            .await?;
        self.metrics.received_bytes.inc_by(bytes);
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(ETag::Strong(stat.etag)), ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let input = req.input;
        if input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "partNumber is not supported; expected a Range header"));
        }
        let path = object_path(&input.key)?;
        let StoredObject { file, stat } = self
            .blocking(&record, move |disk| disk.get(&path).map_err(|e| error::from_io("read an object", &e)))
            .await?;
        conditions::check(
            &stat,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        let partial = byte_range::resolve(input.range, &req.headers, &stat)?;
        let content_range =
            partial.as_ref().map(|range| format!("bytes {}-{}/{}", range.start, range.end - 1, stat.bytes));
        let range = partial.unwrap_or(0..stat.bytes);
        let body = StreamingBlob::wrap(read(record, Arc::new(file), range.start, range.end));
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(body),
            content_length: Some(as_length(range.end - range.start)),
            content_range,
            content_type: Some(OCTET_STREAM.to_owned()),
            last_modified: Some(Timestamp::from(stat.modified)),
            e_tag: Some(ETag::Strong(stat.etag)),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let input = req.input;
        let path = object_path(&input.key)?;
        let stat = self
            .blocking(&record, move |disk| disk.head(&path).map_err(|e| error::from_io("read an object", &e)))
            .await?;
        conditions::check(
            &stat,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(as_length(stat.bytes)),
            content_type: Some(OCTET_STREAM.to_owned()),
            last_modified: Some(Timestamp::from(stat.modified)),
            e_tag: Some(ETag::Strong(stat.etag)),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let record = RequestRecord::of(&req.extensions);
        let input = req.input;
        let entries_max = match input.max_keys {
            None => LIST_KEYS_MAX,
            Some(requested) => usize::try_from(requested)
                .map_err(|_| s3_error!(InvalidArgument, "max-keys {requested}: expected 0 to {LIST_KEYS_MAX}"))?
                .min(LIST_KEYS_MAX),
        };
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            start_after: input.start_after.clone(),
            continue_after: input.continuation_token.as_deref().map(read_token).transpose()?,
            entries_max,
        };
        let page = self
            .blocking(&record, move |disk| listing::list(disk, &query).map_err(|e| error::from_io("list objects", &e)))
            .await?;
        // Keys need no encoding: a put rejects those that XML cannot represent.
        let objects: Vec<Object> = page.objects.into_iter().map(|(key, stat)| listed(key, stat)).collect();
        let prefixes: Vec<CommonPrefix> =
            page.common_prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(input.prefix.unwrap_or_default()),
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: i32::try_from(entries_max).ok(),
            key_count: i32::try_from(objects.len() + prefixes.len()).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(hex::encode),
            contents: Some(objects),
            common_prefixes: Some(prefixes),
            encoding_type: None::<EncodingType>,
            ..Default::default()
        }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let record = RequestRecord::of(&req.extensions);
        if req.input.if_match.is_some() {
            return Err(s3_error!(NotImplemented, "If-Match is not supported for a delete"));
        }
        let path = object_path(&req.input.key)?;
        self.blocking(&record, move |disk| disk.delete(&path).map_err(|e| error::from_io("delete an object", &e)))
            .await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let delete = req.input.delete;
        if delete.objects.len() > DELETE_KEYS_MAX {
            return Err(s3_error!(MalformedXML, "too many keys; the maximum is {DELETE_KEYS_MAX}"));
        }
        let deleted = self
            .blocking(&record, move |disk| {
                let mut deleted = Vec::with_capacity(delete.objects.len());
                for object in delete.objects {
                    disk.delete(&object_path(&object.key)?).map_err(|e| error::from_io("delete an object", &e))?;
                    deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
                }
                Ok(deleted)
            })
            .await?;
        let deleted = (!delete.quiet.unwrap_or_default()).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let owner = granted(&req.extensions)?.id;
        let key = req.input.key;
        object_path(&key)?;
        let upload_key = key.clone();
        let id = self
            .blocking(&record, move |disk| {
                uploads::begin(disk, &owner, &upload_key).map_err(|e| error::from_io("begin an upload", &e))
            })
            .await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(req.input.bucket),
            key: Some(key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let owner = granted(&req.extensions)?.id;
        let input = req.input;
        let length = input.content_length.and_then(|bytes| u64::try_from(bytes).ok());
        let (upload, temporary) = self
            .blocking(&record, move |disk| {
                let upload = uploads::find(disk, &owner, &input.upload_id, &input.key)?;
                check_free_space(disk, length)?;
                let temporary =
                    uploads::temporary_part(&upload).map_err(|e| error::from_io("receive an object", &e))?;
                Ok((upload, temporary))
            })
            .await?;
        let expected = Expected { bytes: length, digest: None };
        let (temporary, bytes) = receive::receive(&record, temporary, input.body, &req.headers, expected).await?;
        let number = input.part_number;
        let stat = self.blocking(&record, move |_| uploads::store_part(&upload, number, temporary)).await?;
        self.metrics.received_bytes.inc_by(bytes);
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(ETag::Strong(stat.etag)), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let grant = granted(&req.extensions)?;
        let input = req.input;
        conditions::only_absent(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let mut rule = grant.put_rule(&input.key);
        if input.if_none_match.is_some() {
            rule.mode = PutMode::Create;
        }
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let parts = parts
            .into_iter()
            .map(|part| Some(PartName { number: part.part_number?, etag: part.e_tag?.into_value() }))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| s3_error!(MalformedXML, "expected PartNumber and ETag of every part"))?;
        let path = object_path(&input.key)?;
        let (key, id, disk) = (input.key.clone(), input.upload_id, Arc::clone(&self.disk));
        let mut work = record.blocking(move || {
            let upload = match uploads::find(&disk, &grant.id, &id, &key) {
                Ok(upload) => upload,
                // The request may be a retry whose first response was lost. If the object exists,
                // the upload was completed: the key is the digest of the content.
                Err(no_upload) if rule.digest.is_some() && rule.mode == PutMode::Replace => {
                    return disk.head(&path).map_err(|_| no_upload);
                }
                Err(no_upload) => return Err(no_upload),
            };
            uploads::complete(&disk, &upload, &parts, &rule, &path)
        });
        let (bucket, key) = (input.bucket, input.key);
        let completed = move |stat: FileStat| CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(ETag::Strong(stat.etag)),
            ..Default::default()
        };
        if let Ok(done) = tokio::time::timeout(COMPLETE_KEEPALIVE_DELAY, &mut work).await {
            return Ok(S3Response::new(completed(done.map_err(|e| error::from_join(&e))??)));
        }
        let later = async move { Ok(completed(work.await.map_err(|e| error::from_join(&e))??)) };
        Ok(S3Response::new(CompleteMultipartUploadOutput { future: Some(Box::pin(later)), ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let record = RequestRecord::of(&req.extensions);
        let owner = granted(&req.extensions)?.id;
        let input = req.input;
        self.blocking(&record, move |disk| {
            uploads::remove(&uploads::find(disk, &owner, &input.upload_id, &input.key)?);
            Ok(())
        })
        .await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn head_bucket(&self, _req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket_region = Some(EMBEDDED_REGION.to_owned());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        _req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        // In S3, an empty location means us-east-1.
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }
}

fn object_path(key: &str) -> S3Result<PathBuf> {
    key_path::to_path(key).map_err(|e| error::from_key(&e))
}

/// Rejects an object that exceeds the free space, before it fills the disk that all Recommenders
/// share.
fn check_free_space(disk: &Disk, length: Option<u64>) -> S3Result<()> {
    let free = disk.free_bytes().map_err(|e| error::from_io("read the free space", &e))?;
    if length.is_some_and(|length| length > free) {
        return Err(error::from_io("receive an object", &std::io::ErrorKind::StorageFull.into()));
    }
    Ok(())
}

fn listed(key: String, stat: FileStat) -> Object {
    Object {
        key: Some(key),
        size: Some(as_length(stat.bytes)),
        last_modified: Some(Timestamp::from(stat.modified)),
        e_tag: Some(ETag::Strong(stat.etag)),
        ..Default::default()
    }
}

fn as_length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn read_token(token: &str) -> S3Result<String> {
    let bytes = hex::decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "continuation-token: expected a token from a previous listing"))
}

/// Streams the bytes `start..end` of a file; each chunk is read on a blocking thread.
fn read(
    record: RequestRecord,
    file: Arc<std::fs::File>,
    start: u64,
    end: u64,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Sync {
    stream::try_unfold(start, move |offset| {
        let (record, file) = (record.clone(), Arc::clone(&file));
        async move {
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            if length == 0 {
                return Ok(None);
            }
            let chunk = record.blocking(move || {
                let mut chunk = vec![0; length];
                file.read_exact_at(&mut chunk, offset).map(|()| Bytes::from(chunk))
            });
            let chunk = chunk.await.map_err(std::io::Error::other)??;
            let next = offset + chunk.len() as u64;
            Ok(Some((chunk, next)))
        }
    })
}

//! Receives a request body into a file: limits its size, hashes it, and verifies every checksum of
//! the request.

use std::io::Write as _;

use futures::StreamExt as _;
use http::HeaderMap;
use s3s::{
    S3Error, S3Result, StdError,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Md5, Sha256},
    dto::StreamingBlob,
    s3_error,
};
use sidecar_contract::Digest;

use crate::{
    disk::TemporaryFile,
    error,
    limits::{CHUNK_BYTES, OBJECT_BYTES_MAX},
    request_record::RequestRecord,
};

/// Checksum headers.
const CHECKSUMS: [&str; 5] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

/// Expected properties of a body.
#[derive(Debug, Default)]
pub struct Expected {
    /// Length, if the request states it.
    pub bytes: Option<u64>,
    /// SHA-256, if the key states it.
    pub digest: Option<Digest>,
}

/// Receives the body of a request into `temporary` and returns its length.
pub async fn receive(
    record: &RequestRecord,
    temporary: TemporaryFile,
    body: Option<StreamingBlob>,
    headers: &HeaderMap,
    expected: Expected,
) -> S3Result<(TemporaryFile, u64)> {
    if expected.bytes.is_some_and(|bytes| bytes > OBJECT_BYTES_MAX) {
        return Err(too_large());
    }
    let mut sink = Sink::new(temporary, headers, expected.digest.is_some());
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    let mut bytes: u64 = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| body_error(&error))?;
            bytes += chunk.len() as u64;
            if bytes > OBJECT_BYTES_MAX {
                return Err(too_large());
            }
            // Copied, because a chunk may keep a larger buffer of the connection.
            for piece in chunk.chunks(CHUNK_BYTES) {
                if buffer.len() + piece.len() > CHUNK_BYTES {
                    (sink, buffer) = sink.write(record, buffer).await?;
                }
                buffer.extend_from_slice(piece);
            }
        }
    }
    (sink, _) = sink.write(record, buffer).await?;
    if expected.bytes.is_some_and(|expected| expected != bytes) {
        return Err(s3_error!(IncompleteBody, "received {bytes} bytes, which differs from content-length"));
    }
    let temporary = sink.verify(headers, expected.digest.as_ref())?;
    Ok((temporary, bytes))
}

struct Sink {
    temporary: TemporaryFile,
    md5: Option<Md5>,
    checksums: ChecksumHasher,
    content: Option<Sha256>,
}

impl Sink {
    fn new(temporary: TemporaryFile, headers: &HeaderMap, hash_content: bool) -> Self {
        let [crc32, crc32c, crc64nvme, sha1, sha256] = CHECKSUMS.map(|name| headers.contains_key(name));
        let checksums = ChecksumHasher {
            crc32: crc32.then(s3s::crypto::Crc32::new),
            crc32c: crc32c.then(s3s::crypto::Crc32c::new),
            crc64nvme: crc64nvme.then(s3s::crypto::Crc64Nvme::new),
            sha1: sha1.then(s3s::crypto::Sha1::new),
            sha256: sha256.then(Sha256::new),
        };
        let md5 = headers.contains_key("content-md5").then(Md5::new);
        Self { temporary, md5, checksums, content: hash_content.then(Sha256::new) }
    }

    /// Hashes and writes bytes on a blocking thread, and returns their emptied buffer.
    async fn write(mut self, record: &RequestRecord, mut bytes: Vec<u8>) -> S3Result<(Self, Vec<u8>)> {
        let written = record.blocking(move || {
            if let Some(md5) = &mut self.md5 {
                md5.update(&bytes);
            }
            if let Some(content) = &mut self.content {
                content.update(&bytes);
            }
            self.checksums.update(&bytes);
            self.temporary.file.write_all(&bytes)?;
            bytes.clear();
            Ok((self, bytes))
        });
        written.await.map_err(|e| error::from_join(&e))?.map_err(|e: std::io::Error| error::from_io("receive", &e))
    }

    fn verify(self, headers: &HeaderMap, digest: Option<&Digest>) -> S3Result<TemporaryFile> {
        let sums = self.checksums.finalize();
        let actual = [
            sums.checksum_crc32,
            sums.checksum_crc32c,
            sums.checksum_crc64nvme,
            sums.checksum_sha1,
            sums.checksum_sha256,
            self.md5.map(|md5| base64_simd::STANDARD.encode_to_string(md5.finalize())),
        ];
        for (name, actual) in CHECKSUMS.into_iter().chain(["content-md5"]).zip(actual) {
            let Some(actual) = actual else { continue };
            if headers.get(name).is_none_or(|claimed| claimed.as_bytes() != actual.as_bytes()) {
                return Err(s3_error!(BadDigest, "{name} does not match: the received bytes have {actual}"));
            }
        }
        if let (Some(expected), Some(content)) = (digest, self.content) {
            let actual = Digest::from_hash(content.finalize());
            if actual != *expected {
                return Err(digest_mismatch(&actual));
            }
        }
        Ok(self.temporary)
    }
}

/// S3 error of a snapshot whose content does not match its key.
pub fn digest_mismatch(actual: &Digest) -> S3Error {
    s3_error!(BadDigest, "the key of a snapshot must be its SHA-256; the received bytes have {actual}")
}

/// S3 error of an object above the size limit.
pub fn too_large() -> S3Error {
    s3_error!(EntityTooLarge, "object is too large; the maximum is {OBJECT_BYTES_MAX} bytes")
}

/// Maps an error of reading the body. `s3s` keeps these error types private, so they are
/// distinguished by their text. Integration tests fail if it changes.
fn body_error(error: &StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        return s3_error!(BadDigest, "x-amz-content-sha256 does not match the received bytes");
    }
    if text.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch, "the signature of a chunk does not match");
    }
    s3_error!(IncompleteBody, "the body ended early: {text}")
}

//! Large files with a known SHA-256. Uploads and downloads are streamed and verified.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};
use sha2::{Digest as _, Sha256};
use sidecar_contract::Digest;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufWriter},
};

use crate::{
    Store, StoreError,
    limits::{FETCH_BUFFER_BYTES, PART_BYTES, PARTS_IN_FLIGHT_MAX},
    path_of,
};

impl Store {
    /// Stores `file` and returns its size. If a digest is given, a file with a different SHA-256 is
    /// rejected before it becomes visible.
    pub(crate) async fn put_file(&self, key: &str, file: &Path, digest: Option<&Digest>) -> Result<u64, StoreError> {
        let path = path_of(key)?;
        let mut source = Source::open(file).await?;
        let first = source.next_part().await?;
        if first.len() < PART_BYTES {
            source.verify(key, digest)?;
            let put = self.object_store.put(&path, PutPayload::from_bytes(first)).await;
            return put.map(|_| source.bytes).map_err(|error| self.failed("store", key, error));
        }
        let upload = self.object_store.put_multipart(&path).await.map_err(|error| self.failed("store", key, error))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        match self.send_parts(key, &mut source, first, &mut upload).await.and_then(|()| source.verify(key, digest)) {
            Ok(()) => upload.finish().await.map(|_| source.bytes).map_err(|error| self.failed("store", key, error)),
            Err(error) => {
                // If the abort fails, the store removes the incomplete upload later.
                if let Err(abort) = upload.abort().await {
                    tracing::debug!(key, error = %abort, "cannot abort the upload");
                }
                Err(error)
            }
        }
    }

    async fn send_parts(
        &self,
        key: &str,
        source: &mut Source,
        first: Bytes,
        upload: &mut WriteMultipart,
    ) -> Result<(), StoreError> {
        let mut part = first;
        while !part.is_empty() {
            upload.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await.map_err(|error| self.failed("store", key, error))?;
            upload.put(part);
            part = source.next_part().await?;
        }
        Ok(())
    }

    /// Fetches an object to `path` and returns its size. The file is created only after all bytes
    /// are received and match `digest`. An object larger than `bytes_max` is rejected before the
    /// first byte is written.
    pub(crate) async fn fetch_file_to(
        &self,
        key: &str,
        digest: &Digest,
        path: &Path,
        bytes_max: u64,
    ) -> Result<u64, StoreError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let fetched = self.fetch_verified(key, digest, &partial, bytes_max).await;
        let moved = match fetched {
            Ok(bytes) => tokio::fs::rename(&partial, path)
                .await
                .map(|()| bytes)
                .map_err(|source| StoreError::File { path: path.to_owned(), source }),
            Err(error) => Err(error),
        };
        if moved.is_err() {
            // The file may not exist. A file that cannot be removed is overwritten by the next
            // attempt.
            let _ = tokio::fs::remove_file(&partial).await;
        }
        moved
    }

    async fn fetch_verified(
        &self,
        key: &str,
        digest: &Digest,
        partial: &Path,
        bytes_max: u64,
    ) -> Result<u64, StoreError> {
        let failed = |error| self.failed("fetch", key, error);
        let io = |source| StoreError::File { path: partial.to_owned(), source };
        let found = self.object_store.get(&path_of(key)?).await.map_err(failed)?;
        let size = found.meta.size;
        if size > bytes_max {
            return Err(StoreError::TooLarge { key: key.to_owned(), bytes: size, bytes_max });
        }
        let mut file = BufWriter::with_capacity(FETCH_BUFFER_BYTES, File::create(partial).await.map_err(io)?);
        let mut hash = Sha256::new();
        let mut bytes: u64 = 0;
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            bytes += chunk.len() as u64;
            // The stream may be longer than the reported size.
            if bytes > bytes_max {
                return Err(StoreError::TooLarge { key: key.to_owned(), bytes, bytes_max });
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        // What is noted about the file later must not outlive its bytes if the node fails.
        file.get_ref().sync_all().await.map_err(io)?;
        let actual = Digest::from_hash(hash.finalize().into());
        if actual == *digest { Ok(bytes) } else { Err(corrupt(key, &actual)) }
    }

    /// SHA-256 and size of a stored object.
    pub(crate) async fn stored_digest(&self, key: &str) -> Result<(Digest, u64), StoreError> {
        let failed = |error| self.failed("read", key, error);
        let found = self.object_store.get(&path_of(key)?).await.map_err(failed)?;
        let (mut hash, mut bytes, mut chunks) = (Sha256::new(), 0, found.into_stream());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            bytes += chunk.len() as u64;
            hash.update(&chunk);
        }
        Ok((Digest::from_hash(hash.finalize().into()), bytes))
    }
}

fn corrupt(key: &str, actual: &Digest) -> StoreError {
    StoreError::Corrupt { key: key.to_owned(), actual: actual.as_str().to_owned() }
}

/// File that is read and hashed in parts.
struct Source {
    path: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).await.map_err(|source| StoreError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, hash: Sha256::new(), bytes: 0 })
    }

    /// Reads the next [`PART_BYTES`]; fewer only at the end of the file.
    async fn next_part(&mut self) -> Result<Bytes, StoreError> {
        let part = read_up_to(&mut self.file, PART_BYTES)
            .await
            .map_err(|source| StoreError::File { path: self.path.clone(), source })?;
        self.hash.update(&part);
        self.bytes += part.len() as u64;
        Ok(part)
    }

    fn verify(&self, key: &str, digest: Option<&Digest>) -> Result<(), StoreError> {
        let Some(digest) = digest else { return Ok(()) };
        let actual = Digest::from_hash(self.hash.clone().finalize().into());
        if actual == *digest {
            return Ok(());
        }
        Err(corrupt(key, &actual))
    }
}

async fn read_up_to(reader: &mut (impl AsyncRead + Unpin), limit: usize) -> std::io::Result<Bytes> {
    let mut part = BytesMut::new();
    let mut limited = reader.take(limit as u64);
    while limited.read_buf(&mut part).await? > 0 {
        part.reserve(64 * 1024);
    }
    Ok(part.freeze())
}

//! An object store during whose n-th write the process dies.

use std::{
    fmt,
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};
use tokio::sync::Notify;

/// When the process dies: no write after that has an effect, and the one does not return.
#[derive(Debug)]
pub struct Crash {
    /// Number of the write, from 0.
    at: usize,
    /// Whether that write has its effect.
    has_effect: bool,
    writes: AtomicUsize,
    reached: Notify,
}

impl Crash {
    pub fn new(at: usize, has_effect: bool) -> Arc<Self> {
        Arc::new(Self { at, has_effect, writes: AtomicUsize::new(0), reached: Notify::new() })
    }

    /// The output of a process; `None` if it died.
    pub async fn survives<T>(&self, process: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.reached.notified() => None,
            output = process => Some(output),
        }
    }

    async fn write<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number < self.at {
            return effect.await;
        }
        if number == self.at && self.has_effect {
            effect.await?;
        }
        self.reached.notify_one();
        pending().await
    }
}

/// The store of a process that dies.
#[derive(Debug)]
pub struct CrashingStore {
    pub inner: Arc<dyn ObjectStore>,
    pub crash: Arc<Crash>,
}

impl fmt::Display for CrashingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CrashingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.crash.write(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.crash.write(self.inner.put_multipart_opts(location, options)).await?;
        Ok(Box::new(CrashingUpload { inner, crash: Arc::clone(&self.crash) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.crash.write(self.inner.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct CrashingUpload {
    inner: Box<dyn MultipartUpload>,
    crash: Arc<Crash>,
}

#[async_trait]
impl MultipartUpload for CrashingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, crash) = (self.inner.put_part(data), Arc::clone(&self.crash));
        Box::pin(async move { crash.write(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let Self { inner, crash } = self;
        crash.write(inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        let Self { inner, crash } = self;
        crash.write(inner.abort()).await
    }
}

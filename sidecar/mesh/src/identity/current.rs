//! The identity that this process has now: two files, which are read again at an interval. Content
//! that cannot be used leaves the last good one in place.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use rustls::{
    crypto::CryptoProvider,
    pki_types::UnixTime,
    time_provider::{DefaultTimeProvider, TimeProvider},
};

use super::{
    anchors::TrustAnchors,
    credentials::{Purpose, ValidCredentials},
    file::{self, FileError},
};
use crate::limits::{ANCHORS_BYTES_MAX, CREDENTIALS_BYTES_MAX, IDENTITY_INTERVAL};

/// Paths of the two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityPaths {
    /// Private key and certificate chain.
    pub credentials: PathBuf,
    /// Trust anchors.
    pub anchors: PathBuf,
}

/// Where the identity is, and how it is read.
#[derive(Clone, Debug)]
pub struct IdentitySettings {
    /// The files.
    pub paths: IdentityPaths,
    /// Interval at which they are read again.
    pub interval: Duration,
    /// The clock for the periods of certificates.
    pub clock: Arc<dyn TimeProvider>,
}

impl IdentitySettings {
    /// Files that are read at the default interval, and the clock of the system.
    pub fn new(paths: IdentityPaths) -> Self {
        Self { paths, interval: IDENTITY_INTERVAL, clock: Arc::new(DefaultTimeProvider) }
    }
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFile {
    /// Private key and certificate chain.
    Credentials,
    /// Trust anchors.
    Anchors,
}

impl IdentityFile {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Credentials, Self::Anchors];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Anchors => "anchors",
        }
    }
}

/// What reading a file again resulted in. Unchanged content is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// New content is used.
    Changed,
    /// The content cannot be used; the last good one, if any, stays.
    Failed,
}

impl Reload {
    /// All results.
    pub const ALL: [Self; 2] = [Self::Changed, Self::Failed];

    /// Name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }
}

/// Receives what happens to the files; for metrics.
pub trait IdentityObserver: fmt::Debug + Send + Sync {
    /// A file was read.
    fn reloaded(&self, file: IdentityFile, result: Reload);
    /// A certificate with this last second is used from now on.
    fn certificate_loaded(&self, not_after: i64);
}

/// The own certificate and the trust anchors.
#[derive(Debug)]
pub struct Identity {
    paths: IdentityPaths,
    purpose: Purpose,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
    observer: Arc<dyn IdentityObserver>,
    credentials: Loaded<ValidCredentials>,
    anchors: Loaded<TrustAnchors>,
}

/// The last good value of a file.
#[derive(Debug)]
struct Loaded<T> {
    value: ArcSwapOption<T>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// Content of the value.
    content: Vec<u8>,
    /// The error of the last read; each is logged once.
    error: Option<String>,
}

// The content may be a private key.
impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last").field("error", &self.error).finish_non_exhaustive()
    }
}

/// What reading a file again did.
enum Update<T> {
    Unchanged,
    Changed(Arc<T>),
    /// The error, and whether it differs from that of the read before.
    Failed(FileError, bool),
}

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self { value: ArcSwapOption::empty(), last: Mutex::default() }
    }
}

impl<T> Loaded<T> {
    /// Uses the content of the file if it has changed.
    fn update(
        &self,
        content: Result<Vec<u8>, FileError>,
        parse: impl FnOnce(&[u8]) -> Result<T, FileError>,
    ) -> Update<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = content.and_then(|content| {
            let is_same = self.value.load().is_some() && content == last.content;
            if is_same { Ok(None) } else { parse(&content).map(|value| Some((value, content))) }
        });
        match parsed {
            Ok(None) => {
                last.error = None;
                Update::Unchanged
            }
            Ok(Some((value, content))) => {
                let value = Arc::new(value);
                self.value.store(Some(Arc::clone(&value)));
                *last = Last { content, error: None };
                Update::Changed(value)
            }
            Err(error) => {
                let text = Some(error.to_string());
                let is_new = last.error != text;
                last.error = text;
                Update::Failed(error, is_new)
            }
        }
    }
}

impl Identity {
    /// Reads both files. A file that is missing may appear later.
    pub fn open(settings: IdentitySettings, purpose: Purpose, observer: Arc<dyn IdentityObserver>) -> Arc<Self> {
        let IdentitySettings { paths, interval: _, clock } = settings;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (credentials, anchors) = (Loaded::default(), Loaded::default());
        let identity = Self { paths, purpose, provider, clock, observer, credentials, anchors };
        identity.reload();
        Arc::new(identity)
    }

    /// Reads both files again until the task is aborted. A change of a projected volume replaces
    /// the directory of a file, which file notifications do not show; so the content is compared.
    pub async fn run(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let identity = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || identity.reload()).await {
                tracing::error!(%error, "the identity files could not be read");
            }
        }
    }

    /// Reads both files again.
    pub fn reload(&self) {
        let content = file::read(&self.paths.anchors, ANCHORS_BYTES_MAX);
        match self.anchors.update(content, TrustAnchors::parse) {
            Update::Unchanged => {}
            Update::Changed(anchors) => {
                self.observer.reloaded(IdentityFile::Anchors, Reload::Changed);
                tracing::info!(count = anchors.count(), "trust anchors loaded");
            }
            Update::Failed(error, is_new) => self.failed(IdentityFile::Anchors, &error, is_new),
        }
        let content = file::read(&self.paths.credentials, CREDENTIALS_BYTES_MAX);
        let parse = |pem: &[u8]| ValidCredentials::parse(pem, self.purpose, self.now(), &self.provider);
        match self.credentials.update(content, parse) {
            Update::Unchanged => {}
            Update::Changed(credentials) => {
                self.observer.reloaded(IdentityFile::Credentials, Reload::Changed);
                self.observer.certificate_loaded(credentials.validity.not_after);
                let seconds_left = credentials.validity.left(self.now()).as_secs();
                tracing::info!(id = %credentials.id, seconds_left, "certificate loaded");
            }
            Update::Failed(error, is_new) => self.failed(IdentityFile::Credentials, &error, is_new),
        }
    }

    fn failed(&self, file: IdentityFile, error: &FileError, is_new: bool) {
        self.observer.reloaded(file, Reload::Failed);
        if is_new {
            let path = match file {
                IdentityFile::Credentials => &self.paths.credentials,
                IdentityFile::Anchors => &self.paths.anchors,
            };
            let path = path.display();
            tracing::warn!(%path, %error, "identity file not used; the last good content, if any, stays in use");
        }
    }

    /// The own certificate, once a good one was read.
    pub fn credentials(&self) -> Option<Arc<ValidCredentials>> {
        self.credentials.value.load_full()
    }

    /// The trust anchors, once good ones were read.
    pub fn anchors(&self) -> Option<Arc<TrustAnchors>> {
        self.anchors.value.load_full()
    }

    /// The current time. Without a clock no certificate is valid.
    pub fn now(&self) -> UnixTime {
        self.clock.current_time().unwrap_or(UnixTime::since_unix_epoch(Duration::ZERO))
    }

    /// Side of connections for which the certificate is.
    pub(super) fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    pub(super) fn clock(&self) -> &Arc<dyn TimeProvider> {
        &self.clock
    }
}

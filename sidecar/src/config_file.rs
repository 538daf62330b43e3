//! A mounted config, read again whenever its text changes.

use std::{
    io::Read as _,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use sidecar_contract::Reading;

use crate::limits::CONFIG_BYTES_MAX;

/// The file and the text that was read last.
#[derive(Debug)]
pub struct ConfigFile<T> {
    path: PathBuf,
    text: Option<String>,
    /// Whether the log states that the file is missing.
    is_reported: bool,
    document: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ConfigFile<T> {
    /// A file that was not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, text: None, is_reported: false, document: PhantomData }
    }

    /// The config, if its text has changed since the last call and is readable. An unreadable text
    /// is reported once; the config before it stays in force.
    pub fn read_new(&mut self) -> Option<Reading<T>> {
        let text = match read_limited(&self.path) {
            Ok(text) => text,
            Err(error) => {
                if self.text.is_none() && !self.is_reported {
                    self.is_reported = true;
                    tracing::warn!(file = %self.path.display(), %error, "no config yet");
                }
                return None;
            }
        };
        if self.text.as_deref() == Some(&text) {
            return None;
        }
        let config = sidecar_contract::read::<T>(&text)
            .inspect_err(|error| tracing::error!(%error, "the config is not readable; the last one stays in force"));
        self.text = Some(text);
        config.ok()
    }
}

fn read_limited(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

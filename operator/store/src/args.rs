//! Settings of the process: flags, environment variables, and the validated files that they name.

use std::{
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Parser;
use sidecar_contract::ports::{ADMIN, STORE, any_address};

use crate::limits::{ROOT_KEY_BYTES_MIN, SETTING_FILE_BYTES_MAX};

/// Embedded store of Recmesh: the S3 protocol over one directory
#[derive(Clone, Debug, Parser)]
#[command(name = "recmesh-store", version)]
pub struct Args {
    /// Directory of the objects; created if it does not exist
    #[arg(long, env = "RECMESH_STORE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Listen address of the S3 protocol
    #[arg(long, env = "RECMESH_STORE_LISTEN", default_value_t = any_address(STORE))]
    pub listen: SocketAddr,
    /// Listen address of probes and metrics
    #[arg(long, env = "RECMESH_STORE_ADMIN_LISTEN", default_value_t = any_address(ADMIN))]
    pub admin_listen: SocketAddr,
    /// File with the root key that every secret is derived from; its whole content is the key
    #[arg(long, env = "RECMESH_STORE_ROOT_KEY_FILE")]
    pub root_key_file: PathBuf,
    /// File with the installation id, which is the first part of every object key
    #[arg(long, env = "RECMESH_STORE_INSTALLATION_ID_FILE")]
    pub installation_id_file: PathBuf,
}

/// Invalid setting.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The file cannot be read.
    #[error("cannot read the {what} file {}", path.display())]
    Unreadable {
        /// Name of the setting.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The content of the file is not valid.
    #[error("the {what} file {} is not valid; expected {expected}", path.display())]
    Invalid {
        /// Name of the setting.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Valid content.
        expected: String,
    },
}

impl Args {
    /// Reads and validates the root key.
    pub fn root_key(&self) -> Result<Vec<u8>, SettingError> {
        let path = &self.root_key_file;
        let key = read("root key", path)?;
        if key.len() < ROOT_KEY_BYTES_MIN {
            let expected = format!("{ROOT_KEY_BYTES_MIN} or more bytes");
            return Err(SettingError::Invalid { what: "root key", path: path.clone(), expected });
        }
        Ok(key)
    }

    /// Reads and validates the installation id; surrounding white space is removed.
    pub fn installation_id(&self) -> Result<String, SettingError> {
        let path = &self.installation_id_file;
        let id = String::from_utf8_lossy(&read("installation id", path)?).trim().to_owned();
        let is_id = (1..=63).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_id {
            return Ok(id);
        }
        let expected = "1 to 63 lower-case letters, digits or dashes".to_owned();
        Err(SettingError::Invalid { what: "installation id", path: path.clone(), expected })
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SETTING_FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| SettingError::Unreadable { what, path: path.to_owned(), source })?;
    Ok(bytes)
}

//! The process's settings: flags and environment, then what they point to, checked.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Parser;
use sidecar_contract::ports::{ADMIN, STORE};

use crate::limits::{ROOT_KEY_BYTES_MIN, SETTING_FILE_BYTES_MAX};

/// The embedded store of Recmesh: S3's protocol over one directory.
#[derive(Clone, Debug, Parser)]
#[command(name = "recmesh-store", version)]
pub struct Args {
    /// Directory of the objects; made if it is not there.
    #[arg(long, env = "RECMESH_STORE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Where S3's protocol is served.
    #[arg(long, env = "RECMESH_STORE_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, STORE)))]
    pub listen: SocketAddr,
    /// Where probes and metrics are served.
    #[arg(long, env = "RECMESH_STORE_ADMIN_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ADMIN)))]
    pub admin_listen: SocketAddr,
    /// File whose bytes, all of them, are the root key of every secret.
    #[arg(long, env = "RECMESH_STORE_ROOT_KEY_FILE")]
    pub root_key_file: PathBuf,
    /// File with the installation's id, the first part of every key.
    #[arg(long, env = "RECMESH_STORE_INSTALLATION_ID_FILE")]
    pub installation_id_file: PathBuf,
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A file that cannot be read.
    #[error("{what} file {}: expected a readable file", path.display())]
    Unreadable {
        /// Which setting.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file with something else in it.
    #[error("{what} file {}: expected {expected}", path.display())]
    Unfit {
        /// Which setting.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What it should hold.
        expected: String,
    },
}

impl Args {
    /// The root key.
    pub fn root_key(&self) -> Result<Vec<u8>, SettingError> {
        let path = &self.root_key_file;
        let key = read("root key", path)?;
        if key.len() < ROOT_KEY_BYTES_MIN {
            let expected = format!("at least {ROOT_KEY_BYTES_MIN} bytes");
            return Err(SettingError::Unfit { what: "root key", path: path.clone(), expected });
        }
        Ok(key)
    }

    /// The installation's id, without white space around it.
    pub fn installation_id(&self) -> Result<String, SettingError> {
        let path = &self.installation_id_file;
        let id = String::from_utf8_lossy(&read("installation id", path)?).trim().to_owned();
        let is_id = (1..=63).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_id {
            return Ok(id);
        }
        let expected = "1 to 63 lower-case letters, digits and dashes".to_owned();
        Err(SettingError::Unfit { what: "installation id", path: path.clone(), expected })
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SETTING_FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| SettingError::Unreadable { what, path: path.to_owned(), source })?;
    Ok(bytes)
}

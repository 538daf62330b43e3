//! Store credentials: read from mounted files, or derived from the root key.

use std::{fmt, io::Read as _, path::Path};

use sidecar_contract::credentials::{ACCESS_KEY_ID, AccessKeyId, SECRET_ACCESS_KEY, derive_secret};

use crate::{BucketSecret, StoreError, limits::CREDENTIAL_BYTES_MAX};

/// Credentials of a store.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreCredentials {
    /// An access key of an S3 service, such as the embedded store.
    AccessKey {
        /// Id of the key.
        access_key_id: String,
        /// Signing key; excluded from `Debug` output.
        secret_access_key: String,
    },
    /// Secret that a user provides for a bucket.
    Secret(BucketSecret),
}

impl StoreCredentials {
    /// Credentials of `id` for the embedded store, derived from the root key of the installation.
    pub fn derived(root_key: &[u8], id: &AccessKeyId) -> Self {
        Self::AccessKey { access_key_id: id.to_string(), secret_access_key: derive_secret(root_key, id) }
    }

    /// Reads mounted credentials: the two files of an access key, or the keys of a user's Secret.
    /// `None` if there are neither; then the credentials of the environment apply.
    pub fn read(directory: &Path) -> Result<Option<Self>, StoreError> {
        match (read_file(directory, ACCESS_KEY_ID)?, read_file(directory, SECRET_ACCESS_KEY)?) {
            (Some(access_key_id), Some(secret_access_key)) => {
                Ok(Some(Self::AccessKey { access_key_id, secret_access_key }))
            }
            (None, None) => Ok(BucketSecret::from_directory(directory)?.map(Self::Secret)),
            (Some(_), None) => Err(incomplete(directory, SECRET_ACCESS_KEY)),
            (None, Some(_)) => Err(incomplete(directory, ACCESS_KEY_ID)),
        }
    }
}

impl fmt::Debug for StoreCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessKey { access_key_id, secret_access_key: _ } => {
                f.debug_struct("AccessKey").field("access_key_id", access_key_id).finish_non_exhaustive()
            }
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

fn incomplete(directory: &Path, missing: &str) -> StoreError {
    StoreError::Config(format!("{}: the file {missing} is missing; an access key has two files", directory.display()))
}

fn read_file(directory: &Path, name: &str) -> Result<Option<String>, StoreError> {
    let path = directory.join(name);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::File { path, source }),
    };
    let mut text = String::new();
    file.take(CREDENTIAL_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| StoreError::File { path: path.clone(), source })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(StoreError::Config(format!("{}: the file is empty", path.display())));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests may panic")]

    use super::*;

    #[test]
    fn mounted_access_keys_are_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(StoreCredentials::read(directory.path()).unwrap(), None);
        std::fs::write(directory.path().join("access-key-id"), "shop.movies.serve\n").unwrap();
        let incomplete = StoreCredentials::read(directory.path()).unwrap_err().to_string();
        assert!(incomplete.contains("secret-access-key"), "{incomplete}");
        std::fs::write(directory.path().join("secret-access-key"), "0123abcd\n").unwrap();
        let credentials = StoreCredentials::read(directory.path()).unwrap().unwrap();
        assert_eq!(
            credentials,
            StoreCredentials::AccessKey {
                access_key_id: "shop.movies.serve".into(),
                secret_access_key: "0123abcd".into()
            }
        );
        assert!(!format!("{credentials:?}").contains("0123abcd"), "Debug output must not contain the secret");
    }

    #[test]
    fn mounted_user_secrets_are_read_by_their_keys() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("AWS_ACCESS_KEY_ID"), "a\n").unwrap();
        std::fs::write(directory.path().join("comment"), "not a key").unwrap();
        let Some(StoreCredentials::Secret(secret)) = StoreCredentials::read(directory.path()).unwrap() else {
            panic!("expected a Secret");
        };
        assert_eq!(secret.get("AWS_ACCESS_KEY_ID"), Some("a"));
    }
}

//! What all Recommenders of an installation share: the settings, and the root of the credentials of
//! the embedded store. Pure.

use sidecar_contract::credentials::{AccessKeyId, Role, derive_secret};

use crate::args::Settings;

/// Settings and store root of the installation.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Command-line settings.
    pub settings: Settings,
    /// Root key and installation id of the embedded store.
    pub root: StoreRoot,
}

/// Root key and installation id.
#[derive(Clone)]
pub struct StoreRoot {
    /// Root key, from which all credentials are derived.
    pub key: Vec<u8>,
    /// First component of every key in the store.
    pub installation_id: String,
}

impl std::fmt::Debug for StoreRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreRoot").field("installation_id", &self.installation_id).finish_non_exhaustive()
    }
}

/// Credentials for the embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSecrets {
    /// Access key id and secret of the trainer.
    pub train: (String, String),
    /// Access key id and secret of the serving pods.
    pub serve: (String, String),
}

impl Installation {
    /// Credentials of a Recommender's pods for the embedded store.
    pub fn store_secrets(&self, namespace: &str, name: &str) -> StoreSecrets {
        let pair = |role: Role| {
            let id = AccessKeyId { namespace: namespace.to_owned(), name: name.to_owned(), role };
            (id.to_string(), derive_secret(&self.root.key, &id))
        };
        StoreSecrets { train: pair(Role::Train), serve: pair(Role::Serve) }
    }
}

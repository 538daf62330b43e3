//! The part of a store that belongs to a Recommender. Pure; `store_access` opens it.

use recommender_crds::{Recommender, StoreSpec};
use sidecar_contract::{
    KeyLayout, StoreConfig,
    store::{EMBEDDED_BUCKET, EMBEDDED_REGION},
};

use crate::installation::Installation;

/// The part of a store that belongs to a Recommender.
#[derive(Clone, Copy, Debug)]
pub struct StoreScope<'a> {
    /// Namespace of the Recommender.
    pub namespace: &'a str,
    /// Name of the Recommender.
    pub name: &'a str,
    /// `spec.store` of the Recommender.
    pub store: Option<&'a StoreSpec>,
}

impl<'a> StoreScope<'a> {
    /// The scope of a Recommender, whether or not its spec is valid.
    pub fn of(recommender: &'a Recommender) -> Self {
        Self {
            namespace: recommender.metadata.namespace.as_deref().unwrap_or_default(),
            name: recommender.metadata.name.as_deref().unwrap_or_default(),
            store: recommender.spec.store.as_ref(),
        }
    }

    /// Identity of the store.
    pub fn key(&self) -> StoreKey {
        let namespace = self.namespace.to_owned();
        match self.store {
            None => StoreKey::Embedded { namespace, name: self.name.to_owned() },
            Some(store) => StoreKey::Bucket {
                namespace,
                url: store.url.clone().unwrap_or_default(),
                secret: store.secret_ref.as_ref().map(|secret| secret.name.clone()),
            },
        }
    }

    /// The store config for the Recommender's pods.
    pub fn config(&self, installation: &Installation) -> StoreConfig {
        let Installation { settings, root } = installation;
        let prefix = KeyLayout::recommender_prefix(&root.installation_id, self.namespace, self.name);
        let region = EMBEDDED_REGION.to_owned();
        if let Some(store) = self.store {
            let url = store.url.clone().unwrap_or_default();
            return StoreConfig { url, endpoint: None, region, prefix };
        }
        StoreConfig {
            url: settings.store_url.clone().unwrap_or_else(|| format!("s3://{EMBEDDED_BUCKET}")),
            endpoint: settings.store_url.is_none().then(|| settings.store_endpoint.clone()),
            region,
            prefix,
        }
    }
}

/// Identity of a store as one Recommender uses it. Recommenders of a namespace that use a bucket
/// with the same Secret share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreKey {
    /// The embedded store.
    Embedded {
        /// Namespace of the Recommender.
        namespace: String,
        /// Name of the Recommender.
        name: String,
    },
    /// A bucket.
    Bucket {
        /// Namespace of the Recommenders that use it.
        namespace: String,
        /// URL of the bucket.
        url: String,
        /// Name of the Secret.
        secret: Option<String>,
    },
}

impl StoreKey {
    /// Namespace of the Recommenders that use it.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Embedded { namespace, .. } | Self::Bucket { namespace, .. } => namespace,
        }
    }
}

/// What is wrong with `spec.store`, if anything.
pub fn problem(store: &StoreSpec) -> Option<String> {
    let bucket = store.url.as_deref().and_then(|url| {
        let bucket = ["s3://", "gs://", "az://"].iter().find_map(|scheme| url.strip_prefix(scheme))?;
        (!bucket.is_empty() && !bucket.starts_with('/') && !bucket.contains(['?', '#'])).then_some(bucket)
    });
    bucket.is_none().then(|| format!("store.url: {:?}; expected s3://bucket, gs://bucket or az://container", store.url))
}

//! The catalogue of a revision: when it is loaded, and how: fetch ► verify and open.

use std::sync::Arc;

use catalogue::{Catalogue, CatalogueError};
use sidecar_contract::{CatalogueRef, Digest, RevisionRef, ServingConfig};
use store_client::{Store, StoreCredentials};

use super::{load::Origin, load_error::LoadError};

/// What the config in force changes about the catalogue of the revision that serves. Pure.
#[derive(Debug, PartialEq)]
pub enum Change<'a> {
    /// The catalogue is the one of the config, or the config does not name the revision.
    Nothing,
    /// This one is to be loaded. The loaded one serves until then.
    Load(&'a CatalogueRef),
    /// The revision has no catalogue any more.
    Remove,
}

/// The change for the revision that serves with the catalogue of this version.
pub fn change<'a>(config: &'a ServingConfig, serving: &Digest, loaded: Option<&str>) -> Change<'a> {
    let Some(revision) = config.revisions.iter().find(|revision| revision.digest == *serving) else {
        return Change::Nothing;
    };
    match (&revision.catalogue, loaded) {
        (Some(wanted), loaded) if Some(wanted.version.as_str()) != loaded => Change::Load(wanted),
        (None, Some(_)) => Change::Remove,
        _ => Change::Nothing,
    }
}

/// Loads the catalogue that the config names for a revision; `None` if it names none.
pub async fn load_of(origin: &Origin, revision: &RevisionRef) -> Result<Option<Arc<Catalogue>>, LoadError> {
    match &revision.catalogue {
        Some(wanted) => load(origin.clone(), wanted.clone()).await.map(Some),
        None => Ok(None),
    }
}

/// Loads a catalogue. Whether it belongs to a revision is checked when it is combined with it.
pub async fn load(origin: Origin, wanted: CatalogueRef) -> Result<Arc<Catalogue>, LoadError> {
    let Origin { cache, store, credentials_dir } = origin;
    let file = cache.prepare_catalogue(&wanted.digest)?;
    let is_new = !file.path().exists();
    if is_new {
        let credentials = StoreCredentials::read(&credentials_dir)?;
        let store = Store::open(&store, credentials.as_ref())?;
        // The file appears only when all of its bytes have arrived and hash to the digest.
        store.fetch_catalogue_to(&wanted, file.path()).await?;
    }
    let opened = tokio::task::spawn_blocking(move || {
        let opened = Catalogue::map(&file).and_then(|catalogue| {
            if !is_new {
                catalogue.verify_digest(&wanted.digest)?;
            }
            if catalogue.version() == wanted.version {
                return Ok(catalogue);
            }
            let problem = format!("the file has version {}, expected {}", catalogue.version(), wanted.version);
            Err(CatalogueError::Corrupt { tensor: "metadata".to_owned(), problem })
        });
        if let Err(error) = &opened {
            tracing::warn!(version = wanted.version, %error, "discarded a cached catalogue");
            cache.discard_catalogue(&wanted.digest);
        }
        opened
    });
    Ok(Arc::new(opened.await.map_err(|_| LoadError::Panicked)??))
}

#[cfg(test)]
mod tests {
    use sidecar_contract::RevisionRole;

    use super::*;

    fn config(catalogue: Option<&CatalogueRef>) -> ServingConfig {
        let text = format!(
            r#"{{"namespace": "shop", "name": "movies", "store": {{"url": "file:///x", "region": "r", "prefix": "p/"}},
                "revisions": [{{"digest": "{}", "snapshotBytes": 7, "role": "desired"}}]}}"#,
            Digest::of(b"a")
        );
        let mut config: ServingConfig = serde_json::from_str(&text).unwrap();
        assert!(config.revision(RevisionRole::Desired).is_some());
        config.revisions[0].catalogue = catalogue.cloned();
        config
    }

    #[test]
    fn the_catalogue_of_the_config_replaces_another_version() {
        let version = |text: &str| CatalogueRef {
            version: text.to_owned(),
            digest: Digest::of(text.as_bytes()),
            bytes: 1,
            key: format!("catalogue/{text}"),
        };
        let (serving, v2) = (Digest::of(b"a"), version("2"));
        let config_v2 = config(Some(&v2));
        assert_eq!(change(&config_v2, &serving, None), Change::Load(&v2));
        assert_eq!(change(&config_v2, &serving, Some("1")), Change::Load(&v2));
        assert_eq!(change(&config_v2, &serving, Some("2")), Change::Nothing);
        assert_eq!(change(&config_v2, &Digest::of(b"other"), Some("1")), Change::Nothing);
        assert_eq!(change(&config(None), &serving, Some("1")), Change::Remove);
        assert_eq!(change(&config(None), &serving, None), Change::Nothing);
    }
}

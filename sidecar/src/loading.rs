//! From a file to a model that is ready to answer: opened, verified, warmed up.

use std::path::{Path, PathBuf};

use answering::{Ask, DEFAULT_VARIANT, Local, Model, ModelError, Query, RequestId};
use anyhow::Context as _;
use catalogue::{Catalogue, CatalogueError};
use model_snapshot::{Contents, PrivateFile, Snapshot, SnapshotError};
use sidecar_contract::{Digest, ServingMode};
use std::sync::Arc;

use crate::{clock::unix_seconds, limits::WARM_UP_ANSWERS};

/// How a file proves that it holds the expected revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification<'a> {
    /// The revision is whatever the file holds; the checksum in it is verified.
    Any,
    /// All bytes are hashed and compared with this digest.
    Hash(&'a Digest),
    /// The bytes were compared with this digest while they were fetched.
    Fetched(&'a Digest),
    /// The file was opened with this digest by this release before, and has not changed since. Its
    /// contents are not read again.
    Opened(&'a Digest),
}

/// Reads a file that others may overwrite into memory, verifies it and warms it up.
///
/// # Errors
/// A file that cannot serve.
pub fn open(path: &Path, verification: Verification<'_>) -> Result<Arc<Model>, ModelError> {
    prepare(Snapshot::read(path)?, verification)
}

/// Where the catalogue of a model file is unless it is named: `model.catalogue` for
/// `model.safetensors`.
pub fn catalogue_beside(model: &Path) -> PathBuf {
    model.with_extension("catalogue")
}

/// Opens a model file with its catalogue: the given one, or else the one beside the model, if there
/// is one.
///
/// # Errors
/// A file that cannot serve, or a catalogue of another model.
pub fn open_with_catalogue(model: &Path, catalogue: Option<&Path>) -> anyhow::Result<Local> {
    let beside = catalogue_beside(model);
    let path = catalogue.or_else(|| beside.exists().then_some(&beside));
    let local = Local::new(open(model, Verification::Any)?, DEFAULT_VARIANT, ServingMode::Personalized);
    let Some(path) = path else { return Ok(local) };
    let combined = open_catalogue(path).and_then(|catalogue| local.with_catalogue(Some(catalogue)));
    combined.with_context(|| {
        let path = path.display();
        format!("cannot use the catalogue {path}; make it again with recmesh-sidecar catalogue, or remove it")
    })
}

/// Reads a catalogue file that others may overwrite into memory. Whether it belongs to a model is
/// checked when it is combined with it.
///
/// # Errors
/// A file that is not a valid catalogue.
pub fn open_catalogue(path: &Path) -> Result<Arc<Catalogue>, CatalogueError> {
    Ok(Arc::new(Catalogue::read(path)?))
}

/// Maps a file of this process, verifies it and warms it up.
///
/// # Errors
/// A file that cannot serve.
pub fn open_private(file: &PrivateFile, verification: Verification<'_>) -> Result<Arc<Model>, ModelError> {
    let contents = match verification {
        Verification::Opened(_) => Contents::CheckedBefore,
        Verification::Any | Verification::Hash(_) | Verification::Fetched(_) => Contents::Unchecked,
    };
    prepare(Snapshot::map(file, contents)?, verification)
}

fn prepare(snapshot: Snapshot, verification: Verification<'_>) -> Result<Arc<Model>, ModelError> {
    let digest = match verification {
        Verification::Any => snapshot.checked_digest()?,
        Verification::Fetched(digest) | Verification::Opened(digest) => digest.clone(),
        Verification::Hash(expected) => {
            let found = snapshot.digest();
            if found != *expected {
                return Err(SnapshotError::WrongDigest { expected: expected.clone(), found }.into());
            }
            found
        }
    };
    let model = Arc::new(Model::new(digest, snapshot, unix_seconds())?);
    warm_up(&model);
    Ok(model)
}

/// Answers a few questions, so that the first users do not wait for page faults.
fn warm_up(model: &Arc<Model>) {
    let local = Local::new(Arc::clone(model), DEFAULT_VARIANT, ServingMode::Personalized);
    for row in 0..WARM_UP_ANSWERS {
        let user = model.snapshot().user_id(row).map(str::to_owned);
        let ask = Ask::new(RequestId::new(), Query::Recommend { user, history: Vec::new() });
        // Only the page faults matter; the items are not used.
        let _ = local.answer(&ask);
    }
}

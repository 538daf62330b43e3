//! From a file to a model that is ready to answer: opened, verified, warm.

use std::path::Path;

use model_snapshot::Snapshot;
use sidecar_contract::Digest;

use crate::{
    answer::{Query, answer},
    limits::{ITEMS_PER_ANSWER_DEFAULT, WARM_UP_ANSWERS},
    model::{ModelError, ServingModel},
};

/// Opens a file, compares it with the name that it should have, if one is known, and warms it up. It takes as long as
/// reading the whole file.
///
/// # Errors
/// A file that cannot serve.
pub fn open(path: &Path, expected: Option<&Digest>) -> Result<ServingModel, ModelError> {
    let snapshot = Snapshot::open(path)?;
    let digest = snapshot.digest();
    if let Some(expected) = expected.filter(|expected| **expected != digest) {
        return Err(model_snapshot::SnapshotError::WrongDigest { expected: expected.clone(), found: digest }.into());
    }
    let model = ServingModel::new(digest, snapshot)?;
    for row in 0..WARM_UP_ANSWERS {
        let user = model.snapshot.user_id(row).map(str::to_owned);
        // What matters is that pages are touched and nothing breaks; the items are not looked at.
        let _ = answer(&model, &Query { user, n: ITEMS_PER_ANSWER_DEFAULT, ..Query::default() });
    }
    Ok(model)
}

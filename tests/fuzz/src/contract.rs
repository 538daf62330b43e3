//! Documents between operator, trainer and sidecar: the serving config, the training config, and
//! the run result with its report.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use sidecar_contract::{Digest, Reading, RunResult, ServingConfig, TrainingConfig, canonical_json, read};

/// A document, read as each of the three kinds. Returns whether it is one of them.
pub fn contract(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let serving = round_trip::<ServingConfig>(text);
    let training = round_trip::<TrainingConfig>(text);
    let result = round_trip::<RunResult>(text);
    if let Some(config) = &serving {
        config.hash();
    }
    if let Some(config) = &training {
        config.config_hash();
        config.fingerprint("version");
    }
    if let Some(result) = &result {
        run_report::render(result, serving.as_ref().map(Into::into));
    }
    serving.is_some() || training.is_some() || result.is_some()
}

/// Reads a document, writes it, and reads it again: both are the same document, and the hash of the
/// second is that of its writer.
fn round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) -> Option<T> {
    let Reading { document, .. } = read::<T>(text).ok()?;
    let written = canonical_json(&document);
    let again = read::<T>(&written).unwrap_or_else(|error| unreachable!("{error}: {written}"));
    assert_eq!(again.document, document, "{written}");
    assert_eq!(again.hash, Digest::of(written.as_bytes()), "{written}");
    Some(document)
}

//! Every released form of every document stays readable, and keeps its hashes.
//!
//! `fixtures/<document>/` contains the forms: `<version>*.json` was written by that version and is
//! never changed, `future-*.json` has values and fields that no version has yet. `recorded.json`
//! has what a reader makes of each: the hash of the text, what it ignored and did not know, the
//! hash of what it writes again if that differs, and the hashes of a training config.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use sidecar_contract::{
    BatchConfig, BatchResult, CatalogueConfig, CatalogueResult, Digest, ModelReport, Reading, RunResult, ServingConfig,
    TerminationMessage, TrainingConfig, canonical_json,
    composition::CompositionConfig,
    credentials::{AccessKeyId, derive_secret},
    read,
};

const DOCUMENTS: [&str; 11] = [
    "access-key",
    "batch-config",
    "batch-result",
    "catalogue-config",
    "catalogue-result",
    "composition-config",
    "model-report",
    "run-result",
    "serving-config",
    "termination-message",
    "training-config",
];

/// What a reader makes of a document.
type Facts = Map<String, Value>;

/// Paths of values of `before` that `after` does not have.
fn lost(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                match after.get(key) {
                    Some(after) => lost(value, after, &join(key), found),
                    None => found.push(join(key)),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                lost(before, after, &format!("{path}[{index}]"), found);
            }
        }
        _ if before == after => {}
        _ => found.push(path.to_owned()),
    }
}

/// Reads a text and writes it again.
fn facts<T: Serialize + DeserializeOwned>(text: &str, more: impl Fn(&T) -> Facts) -> Facts {
    let Reading { document, hash, ignored } = match read::<T>(text) {
        Ok(reading) => reading,
        Err(error) => return Facts::from_iter([("refused".to_owned(), json!(error.to_string()))]),
    };
    let rewritten = Digest::of(canonical_json(&document).as_bytes());
    let mut lost_fields = Vec::new();
    lost(&serde_json::from_str(text).unwrap(), &json!(document), "", &mut lost_fields);
    let mut ignored_fields = ignored;
    ignored_fields.sort();
    let mut facts = more(&document);
    if rewritten != hash {
        facts.insert("rewritten".to_owned(), json!(rewritten));
    }
    if lost_fields != ignored_fields {
        facts.insert("lost".to_owned(), json!(lost_fields));
    }
    if !ignored_fields.is_empty() {
        facts.insert("ignored".to_owned(), json!(ignored_fields));
    }
    facts.insert("hash".to_owned(), json!(hash));
    facts
}

fn unknown(values: &[String]) -> Facts {
    if values.is_empty() { Facts::new() } else { Facts::from_iter([("unknown".to_owned(), json!(values))]) }
}

/// An access key in place of a document: its id parses, and its secret is derived from the root
/// key.
fn access_key_facts(text: &str) -> Facts {
    let document: Value = serde_json::from_str(text).unwrap();
    let [root_key, id, secret] =
        ["rootKey", "accessKeyId", "secretAccessKey"].map(|name| document[name].as_str().unwrap());
    let Some(parsed) = AccessKeyId::parse(id) else { return Facts::from_iter([("refused".to_owned(), json!(""))]) };
    assert_eq!((parsed.to_string().as_str(), derive_secret(root_key.as_bytes(), &parsed).as_str()), (id, secret));
    Facts::from_iter([("hash".to_owned(), json!(Digest::of(canonical_json(&document).as_bytes())))])
}

fn facts_of(document: &str, text: &str) -> Facts {
    match document {
        "training-config" => facts::<TrainingConfig>(text, |config| {
            let hashes = [("configHash", config.config_hash()), ("fingerprint", config.fingerprint("v1"))];
            hashes.into_iter().map(|(name, hash)| (name.to_owned(), json!(hash))).collect()
        }),
        "serving-config" => facts::<ServingConfig>(text, |config| unknown(&config.unknown_values())),
        "run-result" => facts::<RunResult>(text, |result| unknown(&result.unknown_values())),
        "model-report" => facts::<ModelReport>(text, |report| unknown(&report.unknown_values())),
        "batch-config" => facts::<BatchConfig>(text, |_| Facts::new()),
        "batch-result" => facts::<BatchResult>(text, |_| Facts::new()),
        "catalogue-config" => facts::<CatalogueConfig>(text, |_| Facts::new()),
        "catalogue-result" => facts::<CatalogueResult>(text, |_| Facts::new()),
        "composition-config" => facts::<CompositionConfig>(text, |config| unknown(&config.unknown_values())),
        "termination-message" => facts::<TerminationMessage>(text, |_| Facts::new()),
        "access-key" => access_key_facts(text),
        other => panic!("{other}: no such document"),
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn recorded() -> BTreeMap<String, Facts> {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("recorded.json")).unwrap()).unwrap()
}

#[test]
fn every_form_is_read_as_recorded() {
    let (root, mut recorded) = (fixtures(), recorded());
    let documents = std::fs::read_dir(&root).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let files = documents.flat_map(|document| std::fs::read_dir(document).unwrap().flatten());
    for file in files.map(|entry| entry.path()) {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let document = name.split('/').next().unwrap();
        let mut found = facts_of(document, &std::fs::read_to_string(&file).unwrap());
        let expected = recorded.remove(&name).unwrap_or_default();
        // The position in the text is not recorded.
        if let (Some(Value::String(found)), Some(Value::String(expected))) =
            (found.get_mut("refused"), expected.get("refused"))
            && found.starts_with(expected.as_str())
        {
            found.truncate(expected.len());
        }
        assert_eq!(json!(found), json!(expected), "{name}: found {}", json!(found));
    }
    assert!(recorded.is_empty(), "recorded, but not found: {:?}", recorded.keys());
}

#[test]
fn every_document_has_a_future_form_and_one_that_is_written_unchanged() {
    let recorded = recorded();
    for document in DOCUMENTS {
        let mut forms = recorded.iter().filter(|(name, _)| name.split('/').next() == Some(document));
        assert!(forms.clone().any(|(name, _)| name.contains("/future-")), "{document}");
        assert!(
            forms.any(|(name, facts)| !name.contains("/future-") && !facts.contains_key("rewritten")),
            "{document}"
        );
    }
}

//! Reads a document, and reports what of it was not understood.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::{Deserializer, Value};

use crate::{
    hash::{Digest, canonical_json},
    unknown::UnknownValues,
};

/// A document that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<T> {
    /// What was understood.
    pub document: T,
    /// Hash of the text's [`canonical_json`], that is, with the ignored fields: the writer's hash
    /// of the document, also if the writer is newer.
    pub hash: Digest,
    /// Paths of fields that were ignored, such as `revisions[0].weightOfUsers`; a bounded list.
    pub ignored: Vec<String>,
}

/// A text that cannot be read as the document.
#[derive(Debug, thiserror::Error)]
#[error("{path}{problem}")]
pub struct ReadError {
    /// The field with a trailing colon and space; empty for the whole document.
    path: String,
    problem: serde_json::Error,
}

/// Reads a document from JSON. Fields that `T` does not have are ignored and listed.
///
/// # Errors
/// The error names the field and what was expected there.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<Reading<T>, ReadError> {
    let mut ignored = UnknownValues::default();
    let mut track = serde_path_to_error::Track::new();
    let mut json = Deserializer::from_str(text);
    let document = serde_ignored::deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track), |path| {
        ignored.add_field(field(&path));
    })
    .and_then(|document| json.end().map(|()| document));
    let document = document.map_err(|problem| {
        let path = track.path();
        let path = if path.iter().len() == 0 { String::new() } else { format!("{path}: ") };
        ReadError { path, problem }
    })?;
    let value: Value = serde_json::from_str(text).map_err(|problem| ReadError { path: String::new(), problem })?;
    Ok(Reading { document, hash: Digest::of(canonical_json(&value).as_bytes()), ignored: ignored.into_list() })
}

/// Text of a path, in the form of the errors' paths.
fn field(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field(parent)),
        Path::Map { parent, key } => match field(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => field(parent),
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::open::Open;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        inner: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        word: Open<Word>,
        number: f64,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Word {
        One,
    }

    #[test]
    fn ignored_fields_are_listed_and_hashed() {
        let text = r#"{"inner": [{"word": "one", "number": 1.5, "later": {"a": 1}}], "also": []}"#;
        let Reading { document, hash, ignored } = read::<Outer>(text).unwrap();
        assert_eq!(document, Outer { inner: vec![Inner { word: Word::One.into(), number: 1.5 }] });
        assert_eq!(ignored, ["inner[0].later", "also"]);
        // printf %s '{"also":[],"inner":[{"later":{"a":1},"number":1.5,"word":"one"}]}' | sha256sum
        assert_eq!(hash.revision(), "16c3c1e60d");
    }

    #[test]
    fn the_hash_of_an_understood_document_is_that_of_its_writer() {
        // serde_json without its feature `float_roundtrip` reads this number as 0.9583275921953512.
        let document =
            Outer { inner: vec![Inner { word: Open::Unknown("two".into()), number: 0.958_327_592_195_351_1 }] };
        let reading = read::<Outer>(&canonical_json(&document)).unwrap();
        assert_eq!(reading.hash, Digest::of(canonical_json(&document).as_bytes()));
        assert_eq!((reading.document, reading.ignored), (document, Vec::new()));
    }

    #[test]
    fn errors_name_the_field() {
        for (text, problem) in [
            (r#"{"inner": [{"word": 3, "number": 1}]}"#, "inner[0].word: invalid type: integer `3`, expected a string"),
            (r#"{"inner": [{"word": "one"}]}"#, "inner[0]: missing field `number`"),
            ("[] 3", "invalid"),
            (r#"{"inner": []} 3"#, "trailing characters"),
        ] {
            let error = read::<Outer>(text).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}

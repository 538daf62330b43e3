//! A reference to a column, by name or by index.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A column by name, or by zero-based index for files without a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Zero-based index.
    Index(u32),
    /// Name as in the header.
    Name(String),
}

impl JsonSchema for Column {
    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// Kubernetes' own schema of "an integer or a string". A row has at most 1024 fields.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maximum": 1023,
            "minLength": 1,
            "maxLength": 256,
        })
    }
}

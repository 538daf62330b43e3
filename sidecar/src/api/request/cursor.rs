//! The page of a list that a request asks for.

use std::borrow::Cow;

use answering::Page;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::limits::CURSOR_CHARS_MAX;

/// Cursor of the first page.
const FIRST: &str = "*";

/// `*`, or the text of `next` in an earlier answer.
#[derive(Clone, Debug, Default)]
pub struct Cursor(Page);

impl Cursor {
    /// Parses the text of a cursor.
    ///
    /// # Errors
    /// A sentence without the name of the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > CURSOR_CHARS_MAX {
            return Err(format!(
                "{} bytes; send the text of `next` unchanged, or \"*\" for the first page",
                text.len()
            ));
        }
        Ok(Self(if text == FIRST { Page::First } else { Page::After(text.to_owned()) }))
    }

    /// The page.
    pub fn into_page(self) -> Page {
        self.0
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "\"*\" for the first page of a list, or `next` of the page before. All fields but n and \
                            explain must be those of the first page.",
            "type": "string",
            "maxLength": CURSOR_CHARS_MAX,
        })
    }
}

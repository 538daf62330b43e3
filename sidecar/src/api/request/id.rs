//! Ids of users and items.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::count::whole_number;
use crate::limits::ID_CHARS_MAX;

/// An id: text, or a whole number for clients whose ids are numbers. Not empty, and at most
/// [`ID_CHARS_MAX`] characters.
#[derive(Clone, Debug)]
pub struct Id<'a>(Cow<'a, str>);

impl Id<'_> {
    /// The id as text of its own.
    pub fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

/// Checks the length of an id.
///
/// # Errors
/// A sentence without the name of the field.
pub fn check_id<T: AsRef<str>>(id: T) -> Result<T, String> {
    match id.as_ref().chars().count() {
        0 => Err("empty id".to_owned()),
        chars if chars > ID_CHARS_MAX => {
            Err(format!("an id of {chars} characters; at most {ID_CHARS_MAX} are accepted"))
        }
        _ => Ok(id),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id: a string or a whole number")
            }

            fn visit_borrowed_str<E: de::Error>(self, id: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(id))
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(id.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Self::Value, E> {
                Ok(Cow::Owned(id.to_string()))
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Self::Value, E> {
                Ok(Cow::Owned(id.to_string()))
            }

            // JSON Schema counts 3.0 as an integer, and some clients write it so.
            fn visit_f64<E: de::Error>(self, id: f64) -> Result<Self::Value, E> {
                match whole_number(id) {
                    Some(id) => Ok(Cow::Owned(id.to_string())),
                    None => Err(E::invalid_type(de::Unexpected::Float(id), &self)),
                }
            }
        }

        let id = deserializer.deserialize_any(Visitor)?;
        check_id(id).map(Self).map_err(de::Error::custom)
    }
}

impl JsonSchema for Id<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An id of the training data. A whole number stands for its digits.",
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX},
                {"type": "integer", "minimum": i64::MIN, "maximum": u64::MAX},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stand_for_their_digits() {
        let id = |json: &str| serde_json::from_str::<Id<'_>>(json).map(Id::into_owned);
        assert_eq!(id("42").unwrap(), "42");
        assert_eq!(id("3.0").unwrap(), "3");
        assert_eq!(id("-2e3").unwrap(), "-2000");
        assert_eq!(id("18446744073709551615").unwrap(), "18446744073709551615");
        assert_eq!(id("-9223372036854775808").unwrap(), "-9223372036854775808");
        for bad in ["1.5", "18446744073709551616", "-9223372036854775809", "1e30"] {
            assert!(id(bad).unwrap_err().to_string().contains("expected an id"), "{bad}");
        }
    }

    #[test]
    fn the_length_of_an_id_is_counted_in_characters() {
        let text = "é".repeat(ID_CHARS_MAX);
        assert!(check_id(&text).is_ok());
        assert_eq!(check_id(text + "é").unwrap_err(), "an id of 1025 characters; at most 1024 are accepted");
        assert!(check_id("").is_err());
    }
}

//! Conditions on columns of the catalogue: `{"genre": ["comedy"], "price": {"max": 50}}`.

use std::{borrow::Cow, fmt};

use catalogue::{
    Condition, Filter,
    limits::{COLUMN_NAME_BYTES_MAX, FILTER_CONDITIONS_MAX, FILTER_VALUES_MAX, VALUE_BYTES_MAX},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// The conditions of a request. Their number and the lengths of their texts are checked.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Filter);

impl Conditions {
    /// The filter.
    pub fn into_filter(self) -> Filter {
        self.0
    }

    /// Adds the condition of a form field: `where.<column>`, or with `.not`, `.min` or `.max`;
    /// `field` is what follows `where.`.
    ///
    /// # Errors
    /// A sentence without the name of the field.
    pub fn push_form(&mut self, field: &str, value: &str) -> Result<(), String> {
        let values = || value.split(',').map(str::to_owned).collect();
        let bound = || Some(value.to_owned());
        let (column, condition) = if let Some(column) = field.strip_suffix(".not") {
            (column, Condition::NoneOf(values()))
        } else if let Some(column) = field.strip_suffix(".min") {
            (column, Condition::Range { min: bound(), max: None })
        } else if let Some(column) = field.strip_suffix(".max") {
            (column, Condition::Range { min: None, max: bound() })
        } else {
            (field, Condition::AnyOf(values()))
        };
        self.push(column.to_owned(), condition)
    }

    fn push(&mut self, column: String, condition: Condition) -> Result<(), String> {
        if column.len() > COLUMN_NAME_BYTES_MAX {
            return Err(format!("a column of {} bytes; a name has at most {COLUMN_NAME_BYTES_MAX}", column.len()));
        }
        let (values, bounds): (&[String], [&Option<String>; 2]) = match &condition {
            Condition::AnyOf(values) | Condition::NoneOf(values) => (values, [&None; 2]),
            Condition::Range { min, max } => (&[], [min, max]),
        };
        let long =
            values.iter().chain(bounds.into_iter().flatten()).map(String::len).find(|bytes| *bytes > VALUE_BYTES_MAX);
        if let Some(bytes) = long {
            return Err(format!("a value of {bytes} bytes; a value has at most {VALUE_BYTES_MAX}"));
        }
        self.0.push(column, condition);
        if self.0.conditions().len() > FILTER_CONDITIONS_MAX || self.0.values() > FILTER_VALUES_MAX {
            return Err(format!(
                "more than {FILTER_CONDITIONS_MAX} conditions or {FILTER_VALUES_MAX} values in total; send fewer"
            ));
        }
        Ok(())
    }
}

/// Text, number or boolean: the value of a column as text.
struct Value(String);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value: a string, a number or a boolean")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
                Ok(value.to_owned())
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
                Ok(value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
                Ok(value.to_string())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
                Ok(value.to_string())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
                Ok(value.to_string())
            }
        }

        let value = deserializer.deserialize_any(Visitor)?;
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("a value of {} bytes; a value has at most {VALUE_BYTES_MAX}", value.len());
            return Err(de::Error::custom(message));
        }
        Ok(Self(value))
    }
}

/// At most [`FILTER_VALUES_MAX`] values, at least one.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
                let mut values = Vec::new();
                while let Some(Value(value)) = list.next_element()? {
                    if values.len() == FILTER_VALUES_MAX {
                        return Err(de::Error::custom(format!("more than {FILTER_VALUES_MAX} values; send fewer")));
                    }
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(de::Error::custom("an empty list; send one or more values, or leave the column out"));
                }
                Ok(values)
            }
        }

        deserializer.deserialize_seq(Visitor).map(Self)
    }
}

/// An object in place of a list of values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    #[serde(default)]
    not: Option<Values>,
    #[serde(default)]
    min: Option<Value>,
    #[serde(default)]
    max: Option<Value>,
}

/// What a request states about one column.
struct OfColumn(Vec<Condition>);

impl<'de> Deserialize<'de> for OfColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Vec<Condition>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or an object with not, min or max")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Vec<Condition>, A::Error> {
                let Values(values) = Values::deserialize(de::value::SeqAccessDeserializer::new(list))?;
                Ok(vec![Condition::AnyOf(values)])
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Vec<Condition>, A::Error> {
                let Bounds { not, min, max } = Bounds::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let (min, max) = (min.map(|Value(min)| min), max.map(|Value(max)| max));
                let range = (min.is_some() || max.is_some()).then_some(Condition::Range { min, max });
                let not = not.map(|Values(values)| Condition::NoneOf(values));
                let conditions: Vec<Condition> = not.into_iter().chain(range).collect();
                if conditions.is_empty() {
                    return Err(de::Error::custom("an empty object; send not, min or max, or leave the column out"));
                }
                Ok(conditions)
            }
        }

        deserializer.deserialize_any(Visitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Conditions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object: columns with their conditions")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Conditions, A::Error> {
                let mut conditions = Conditions::default();
                while let Some((column, OfColumn(of_column))) = map.next_entry::<String, OfColumn>()? {
                    if conditions.0.conditions().iter().any(|(known, _)| *known == column) {
                        return Err(de::Error::custom("a column is present twice"));
                    }
                    for condition in of_column {
                        conditions.push(column.clone(), condition).map_err(de::Error::custom)?;
                    }
                }
                Ok(conditions)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

impl JsonSchema for Conditions {
    fn schema_name() -> Cow<'static, str> {
        "Where".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json_schema!({"anyOf": [
            {"type": "string", "maxLength": VALUE_BYTES_MAX / 4},
            {"type": "number"},
            {"type": "boolean"},
        ]});
        let values = json_schema!({
            "type": "array", "minItems": 1, "maxItems": FILTER_VALUES_MAX / FILTER_CONDITIONS_MAX, "items": value,
        });
        json_schema!({
            "description": "Conditions on columns of the catalogue, which items must all satisfy: a list of \
                            values of which an item has one or more, or values that it must not have, or a range of \
                            numbers or times. An item without a value is in no list and no range.",
            "type": "object",
            "maxProperties": FILTER_CONDITIONS_MAX / 2,
            "propertyNames": {"maxLength": COLUMN_NAME_BYTES_MAX / 4},
            "additionalProperties": {"anyOf": [
                values,
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": false,
                    "properties": {"not": values, "min": value, "max": value},
                },
            ]},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(json: &str) -> Result<Vec<(String, Condition)>, String> {
        let parsed: Result<Conditions, _> = serde_json::from_str(json);
        parsed.map(|conditions| conditions.into_filter().conditions().to_vec()).map_err(|error| error.to_string())
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn range(min: Option<&str>, max: Option<&str>) -> Condition {
        Condition::Range { min: min.map(str::to_owned), max: max.map(str::to_owned) }
    }

    #[test]
    fn json_and_forms_state_the_same_conditions() {
        let json = r#"{"genre": ["comedy", "drama"], "year": [1999, 2.5, true], "brand": {"not": ["x"]},
                       "price": {"min": -1.5, "max": 50}, "since": {"min": "2024-05-01"}}"#;
        let expected = [
            ("genre", Condition::AnyOf(texts(&["comedy", "drama"]))),
            ("year", Condition::AnyOf(texts(&["1999", "2.5", "true"]))),
            ("brand", Condition::NoneOf(texts(&["x"]))),
            ("price", range(Some("-1.5"), Some("50"))),
            ("since", range(Some("2024-05-01"), None)),
        ]
        .map(|(column, condition)| (column.to_owned(), condition));
        assert_eq!(conditions(json).unwrap(), expected);
        let mut form = Conditions::default();
        for (field, value) in [("genre", "comedy,drama"), ("brand.not", "x"), ("price.min", "-1.5"), ("a.b.max", "2")] {
            form.push_form(field, value).unwrap();
        }
        let [genre, _, brand, ..] = expected;
        let min = ("price".to_owned(), range(Some("-1.5"), None));
        let max = ("a.b".to_owned(), range(None, Some("2")));
        assert_eq!(form.into_filter().conditions(), [genre, brand, min, max]);
    }

    #[test]
    fn malformed_conditions_are_errors() {
        for (json, expected) in [
            (r#"["x"]"#, "expected an object: columns with their conditions"),
            (r#"{"genre": "comedy"}"#, "expected a list of values, or an object with not, min or max"),
            (r#"{"genre": []}"#, "an empty list; send one or more values"),
            (r#"{"genre": {}}"#, "an empty object; send not, min or max"),
            (r#"{"genre": [null]}"#, "expected a value: a string, a number or a boolean"),
            (r#"{"genre": {"above": 3}}"#, "unknown field `above`"),
            (r#"{"genre": ["a"], "genre": ["b"]}"#, "a column is present twice"),
        ] {
            let error = conditions(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
        let many = (0..=FILTER_VALUES_MAX).map(|value| format!("{value}")).collect::<Vec<_>>().join(",");
        assert!(conditions(&format!(r#"{{"genre": [{many}]}}"#)).unwrap_err().contains("values; send fewer"));
        assert!(conditions(&format!(r#"{{"genre": ["{}"]}}"#, "x".repeat(257))).unwrap_err().contains("at most 256"));
        assert!(conditions(&format!(r#"{{"{}": [1]}}"#, "x".repeat(129))).unwrap_err().contains("at most 128"));
    }

    #[test]
    fn every_text_of_a_form_has_a_maximum_length() {
        let (short, long) = ("x".repeat(256), "x".repeat(257));
        for field in ["genre", "genre.not", "price.min", "price.max"] {
            Conditions::default().push_form(field, &short).unwrap();
            let error = Conditions::default().push_form(field, &long).unwrap_err();
            assert_eq!(error, "a value of 257 bytes; a value has at most 256", "{field}");
        }
    }
}

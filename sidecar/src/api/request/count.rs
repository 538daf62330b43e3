//! Numbers of items.

use std::borrow::Cow;

use answering::limits::ITEMS_PER_ANSWER_DEFAULT;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use sidecar_contract::ServingLimits;

use crate::api::error::ApiError;

/// A number of items, checked against the limits of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Count(i64);

impl Count {
    /// The number, if the limits allow it.
    ///
    /// # Errors
    /// Less than one item, or too many.
    pub fn check(self, field: &str, limits: &ServingLimits) -> Result<usize, ApiError> {
        check_count(self.0, limits).map_err(|message| ApiError::field(field, message))
    }
}

/// Checks a number of items: 1 to the limit.
///
/// # Errors
/// A sentence without the name of the field.
pub fn check_count(n: i64, limits: &ServingLimits) -> Result<usize, String> {
    let max = limits.items_per_answer_max;
    let in_range = usize::try_from(n).ok().filter(|n| (1..=max as usize).contains(n));
    in_range.ok_or_else(|| format!("{n}: expected a whole number from 1 to {max}"))
}

/// The number without its fraction of zero; `None` outside the range of JSON integers that parsers
/// keep exactly, -2⁶³ to 2⁶⁴ - 1.
pub fn whole_number(number: f64) -> Option<i128> {
    // Exclusive: larger integers arrive as the floats at the bounds.
    let in_range = -9_223_372_036_854_775_808.0 < number && number < 18_446_744_073_709_551_616.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
    (in_range && number.fract() == 0.0).then_some(number as i128)
}

impl Default for Count {
    fn default() -> Self {
        Self(i64::try_from(ITEMS_PER_ANSWER_DEFAULT).unwrap_or(i64::MAX))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = i64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<i64, E> {
                Ok(n)
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<i64, E> {
                Ok(i64::try_from(n).unwrap_or(i64::MAX))
            }

            // JSON Schema counts 3.0 as an integer, and some clients write it so.
            fn visit_f64<E: de::Error>(self, n: f64) -> Result<i64, E> {
                let whole = whole_number(n).ok_or_else(|| E::invalid_type(de::Unexpected::Float(n), &self))?;
                Ok(i64::try_from(whole).unwrap_or(i64::MAX))
            }
        }

        deserializer.deserialize_any(Visitor).map(Self)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let maximum = ServingLimits::default().items_per_answer_max;
        json_schema!({"type": "integer", "minimum": 1, "maximum": maximum, "default": ITEMS_PER_ANSWER_DEFAULT})
    }
}

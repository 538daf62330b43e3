//! Weights and ratings.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::{
    api::quote::quoted,
    limits::{RATING_DIGITS_MAX, RATING_MAX},
};

/// A weight or rating of at most [`RATING_MAX`] in magnitude.
#[derive(Clone, Copy, Debug)]
pub struct Rating(f32);

impl Rating {
    fn new(rating: f64) -> Result<Self, String> {
        if (-RATING_MAX..=RATING_MAX).contains(&rating) {
            #[expect(clippy::cast_possible_truncation, reason = "rounded to single precision")]
            return Ok(Self(rating as f32));
        }
        Err(format!("{rating:e}: expected a number from -{RATING_MAX:e} to {RATING_MAX:e}"))
    }

    /// The number.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// Parses the decimal number of a form, which [`ratings_pattern`] allows.
///
/// # Errors
/// A sentence without the name of the field.
pub fn parse_rating(text: &str) -> Result<Rating, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits =
        |part: &str| (1..=RATING_DIGITS_MAX).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = (digits(whole) && digits(fraction)).then(|| text.parse().ok()).flatten();
    let expected = || {
        format!(
            "{} is not a decimal number such as -0.5 or 4, of at most {RATING_DIGITS_MAX} digits before and after the point",
            quoted(format_args!("{text:?}"))
        )
    };
    Rating::new(number.ok_or_else(expected)?)
}

/// A regular expression for decimal numbers that are separated by commas, or none.
pub fn ratings_pattern() -> String {
    let digits = format!("[0-9]{{1,{RATING_DIGITS_MAX}}}");
    let number = format!(r"-?{digits}(\.{digits})?");
    format!("^({number}(,{number})*)?$")
}

impl<'de> Deserialize<'de> for Rating {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = f64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: de::Error>(self, rating: f64) -> Result<f64, E> {
                Ok(rating)
            }

            #[expect(clippy::cast_precision_loss, reason = "rounded to f32 anyway")]
            fn visit_i64<E: de::Error>(self, rating: i64) -> Result<f64, E> {
                Ok(rating as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "rounded to f32 anyway")]
            fn visit_u64<E: de::Error>(self, rating: u64) -> Result<f64, E> {
                Ok(rating as f64)
            }
        }

        Self::new(deserializer.deserialize_any(Visitor)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Rating {
    fn schema_name() -> Cow<'static, str> {
        "Rating".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": -RATING_MAX, "maximum": RATING_MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_take_plain_decimal_numbers() {
        for (text, value) in [("4", 4.0_f32), ("-0.5", -0.5), ("007", 7.0), ("999999999.999999999", 1e9)] {
            assert_eq!(parse_rating(text).unwrap().value().to_bits(), value.to_bits(), "{text}");
        }
        for bad in ["", "-", ".5", "5.", "+1", "1e3", "1.2.3", " 1", "NaN", "inf", "1234567890", "--1", "٣"] {
            let message = parse_rating(bad).unwrap_err();
            assert!(message.starts_with(&format!("{bad:?} is not a decimal number")), "{message}");
        }
    }

    #[test]
    fn json_takes_numbers_up_to_the_maximum() {
        let rating = |json: &str| serde_json::from_str::<Rating>(json).map(Rating::value);
        for (json, value) in [("5", 5.0_f32), ("-1e9", -1e9), ("1e9", 1e9), ("0.25", 0.25)] {
            assert_eq!(rating(json).unwrap().to_bits(), value.to_bits(), "{json}");
        }
        for bad in ["1.1e9", "-1e10", "18446744073709551615", "3e38"] {
            assert!(rating(bad).unwrap_err().to_string().contains("expected a number from -1e9 to 1e9"), "{bad}");
        }
    }
}

//! Requests as they arrive, typed: parsing, their part of the OpenAPI document, and the [`Ask`]
//! that they become. Text is borrowed from the body.

use std::{borrow::Cow, marker::PhantomData};

use answering::{
    Ask, Filter, HistoryEntry, Query, RequestId,
    limits::{EXPLAINED_ITEMS_MAX, ITEMS_PER_ANSWER_DEFAULT},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use sidecar_contract::ServingLimits;

use crate::{
    api::error::ApiError,
    limits::{ID_BYTES_MAX, ITEMS_PER_BATCH_MAX},
};

/// Items for a user, a history, or both.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RecommendRequest", extend("anyOf" = [{"required": ["user"]}, {"required": ["history"]}]))]
pub struct RecommendRequest<'a> {
    /// Id of the user. An unknown user without a history gets popular items.
    #[serde(default, borrow)]
    user: Option<Id<'a>>,
    /// Maximum number of items.
    #[serde(default)]
    n: Count,
    /// Interactions of the user. They are folded in and replace the stored user vector.
    #[serde(default, borrow)]
    #[schemars(with = "Option<Vec<HistoryRow<'a>>>")]
    history: Option<Vec<Object<HistoryRow<'a>>>>,
    /// Items that are left out.
    #[serde(default, borrow)]
    exclude: Option<Vec<Id<'a>>>,
    /// Whether items that the user interacted with in training may be recommended.
    #[serde(default)]
    include_seen: bool,
    /// Whether items come with the contributions to their scores. Allowed up to 100 items.
    #[serde(default)]
    explain: bool,
}

/// One interaction of a history.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HistoryEntry")]
pub struct HistoryRow<'a> {
    /// Id of the item. An unknown one is ignored.
    #[serde(borrow)]
    item: Id<'a>,
    /// Weight or rating; 1 if it is absent. A model of ratings requires it.
    #[serde(default)]
    rating: Option<Rating>,
}

/// Several requests that one generation of models answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BatchRequest")]
pub struct BatchRequest<'a> {
    /// The requests.
    #[serde(borrow)]
    #[schemars(with = "Vec<RecommendRequest<'a>>")]
    requests: Vec<Object<RecommendRequest<'a>>>,
}

/// Items similar to an item.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SimilarRequest")]
pub struct SimilarRequest<'a> {
    /// Id of the item.
    #[serde(borrow)]
    item: Id<'a>,
    /// Maximum number of items.
    #[serde(default)]
    n: Count,
}

impl RecommendRequest<'_> {
    /// The question; `at` prefixes the names of fields in messages.
    ///
    /// # Errors
    /// A number out of range, or neither user nor history.
    pub fn into_ask(self, id: RequestId, at: &str, limits: &ServingLimits) -> Result<Ask, ApiError> {
        let Self { user, n, history, exclude, include_seen, explain } = self;
        let n = n.check(&format!("{at}n"), limits)?;
        let history = history.unwrap_or_default();
        let exclude = exclude.unwrap_or_default();
        check_length(&format!("{at}history"), history.len(), limits)?;
        check_length(&format!("{at}exclude"), exclude.len(), limits)?;
        if user.is_none() && history.is_empty() {
            return Err(ApiError::field(&format!("{at}user"), "missing; send user, or history, or both"));
        }
        if explain && n > EXPLAINED_ITEMS_MAX {
            let message = format!("{n}: with explain an answer has at most {EXPLAINED_ITEMS_MAX} items");
            return Err(ApiError::field(&format!("{at}n"), message));
        }
        let history = history.into_iter().map(|Object(HistoryRow { item, rating })| HistoryEntry {
            item: item.into_owned(),
            rating: rating.map(|r| r.0),
        });
        let query = Query::Recommend { user: user.map(Id::into_owned), history: history.collect() };
        let exclude = exclude.into_iter().map(Id::into_owned).collect();
        Ok(Ask { n, filter: Filter { exclude, include_seen, candidates: None }, explain, ..Ask::new(id, query) })
    }
}

impl BatchRequest<'_> {
    /// The questions, with the ids of the batch's parts.
    ///
    /// # Errors
    /// Too many requests or items, or an invalid request.
    pub fn into_asks(self, id: &RequestId, limits: &ServingLimits) -> Result<Vec<Ask>, ApiError> {
        let max = limits.requests_per_batch_max as usize;
        let found = self.requests.len();
        if !(1..=max).contains(&found) {
            return Err(ApiError::field("requests", format!("{found} requests; expected 1 to {max}")));
        }
        let asks =
            self.requests.into_iter().enumerate().map(|(index, Object(request))| {
                request.into_ask(id.part(index), &format!("requests[{index}]."), limits)
            });
        let asks = asks.collect::<Result<Vec<Ask>, ApiError>>()?;
        let items: usize = asks.iter().map(|ask| ask.n).sum();
        if items > ITEMS_PER_BATCH_MAX {
            let message = format!("{items} items in total; a batch is answered with at most {ITEMS_PER_BATCH_MAX}");
            return Err(ApiError::field("requests", message));
        }
        Ok(asks)
    }
}

impl SimilarRequest<'_> {
    /// The question.
    ///
    /// # Errors
    /// A number out of range.
    pub fn into_ask(self, id: RequestId, limits: &ServingLimits) -> Result<Ask, ApiError> {
        let n = self.n.check("n", limits)?;
        Ok(Ask { n, ..Ask::new(id, Query::Similar { item: self.item.into_owned() }) })
    }
}

fn check_length(field: &str, length: usize, limits: &ServingLimits) -> Result<(), ApiError> {
    let max = limits.history_per_request_max;
    if length <= max as usize {
        return Ok(());
    }
    Err(ApiError::field(field, format!("{length} entries; expected at most {max}")))
}

/// A JSON object. A derived parser would also take a list of the fields' values in their order.
#[derive(Clone, Copy, Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

/// An id: text, or a whole number for clients whose ids are numbers. Not empty, and at most
/// [`ID_BYTES_MAX`] bytes.
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
    match id.as_ref().len() {
        0 => Err("empty id".to_owned()),
        bytes if bytes > ID_BYTES_MAX => Err(format!("an id of {bytes} bytes; at most {ID_BYTES_MAX} are accepted")),
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
        // A schema counts characters, of which each has up to four bytes in UTF-8.
        json_schema!({
            "description": format!("An id of the training data, at most {ID_BYTES_MAX} bytes in UTF-8. A whole number stands for its digits."),
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX / 4},
                {"type": "integer", "minimum": i64::MIN, "maximum": u64::MAX},
            ],
        })
    }
}

/// A number of items, checked against the limits of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Count(i64);

impl Count {
    fn check(self, field: &str, limits: &ServingLimits) -> Result<usize, ApiError> {
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
                #[expect(clippy::cast_possible_truncation, reason = "a whole number of small magnitude")]
                let whole = (n.fract() == 0.0 && n.abs() < f64::from(u32::MAX)).then_some(n as i64);
                whole.ok_or_else(|| E::invalid_type(de::Unexpected::Float(n), &self))
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

/// A finite weight or rating.
#[derive(Clone, Copy, Debug)]
pub struct Rating(f32);

impl<'de> Deserialize<'de> for Rating {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = f64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a finite number")
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

        let rating = deserializer.deserialize_any(Visitor)?;
        #[expect(clippy::cast_possible_truncation, reason = "overflow becomes infinite and is refused")]
        let single = rating as f32;
        if single.is_finite() {
            return Ok(Self(single));
        }
        Err(de::Error::custom(format!("{rating:e}: expected a finite number in single precision")))
    }
}

impl JsonSchema for Rating {
    fn schema_name() -> Cow<'static, str> {
        "Rating".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": f32::MIN, "maximum": f32::MAX})
    }
}

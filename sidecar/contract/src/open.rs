//! Words from sets that can grow.
//!
//! Rollouts and rollbacks mix versions, so a document may contain a word that its reader does not
//! know. Such a word must not make the whole document unreadable.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IntoDeserializer as _, value},
};

/// A word from a set that can grow: a role, a mode, a kind of split.
///
/// An unknown word is kept and serialized unchanged, so that hashes of a document that was only
/// read and written do not change. A word stays a word in later versions: the parameters of a new
/// value become a field beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open<T> {
    /// A value that this build knows.
    Known(T),
    /// A word of a newer version.
    Unknown(String),
}

impl<T> Open<T> {
    /// The value; `None` if this build does not know it.
    pub fn known(&self) -> Option<T>
    where
        T: Copy,
    {
        match self {
            Self::Known(value) => Some(*value),
            Self::Unknown(_) => None,
        }
    }

    /// The word that this build does not know.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(word) => Some(word),
        }
    }

    /// Whether this is the default, which documents may omit.
    pub fn is_default(&self) -> bool
    where
        T: Default + PartialEq,
    {
        *self == T::default()
    }
}

impl<T: Default> Default for Open<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

impl<T> From<T> for Open<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: PartialEq> PartialEq<T> for Open<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(value) if value == other)
    }
}

impl<T: Serialize> Serialize for Open<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unknown(word) => serializer.serialize_str(word),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Open<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        // `T` is an enum without data, so the only possible error is a word that it does not have.
        let known: Result<T, value::Error> = T::deserialize(word.as_str().into_deserializer());
        Ok(known.map_or(Self::Unknown(word), Self::Known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Color {
        #[default]
        DarkRed,
        Blue,
    }

    #[test]
    fn known_and_unknown_words_round_trip() {
        let read = |text: &str| serde_json::from_str::<Open<Color>>(text).unwrap();
        for text in [r#""darkRed""#, r#""blue""#, r#""DarkRed""#, r#""ultra\"violet""#, r#""""#] {
            assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
        }
        assert_eq!(read(r#""darkRed""#).known(), Some(Color::DarkRed));
        assert_eq!((read(r#""infrared""#).known(), read(r#""infrared""#).unknown()), (None, Some("infrared")));
        assert_eq!((read(r#""blue""#).unknown(), read(r#""blue""#)), (None, Color::Blue.into()));
        assert!(serde_json::from_str::<Open<Color>>("3").is_err());
    }

    #[test]
    fn an_unknown_word_is_not_equal_to_any_value() {
        let unknown = Open::<Color>::Unknown("darkRed".to_owned());
        assert!(unknown != Color::DarkRed && unknown != Color::Blue && !unknown.is_default());
        assert!(Open::Known(Color::DarkRed).is_default() && !Open::Known(Color::Blue).is_default());
        assert_eq!(Open::default(), Color::DarkRed);
    }
}

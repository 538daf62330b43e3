//! Rows that are used, but with a value in another form than it is written (a closed set), with
//! counts.

use std::collections::BTreeMap;

/// What is read in another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reinterpretation {
    /// White space around an id is removed.
    PaddedId,
    /// An id such as `7.0` is another id than `7`: a column of integers was probably written as
    /// floating-point numbers.
    FloatId,
    /// An id that is a word for a missing value, such as `NULL`, is an id like any other.
    NullWord,
    /// Quotes around an id are a part of it.
    QuotedId,
    /// A decimal comma.
    DecimalComma,
    /// A record of delimited text spans several lines, because a quoted field contains a line
    /// break.
    SeveralLines,
    /// A backslash escape of a quote, a delimiter, a line break or another character.
    BackslashEscape,
    /// An optional key that the first objects lack is not used.
    LateKey,
    /// A time without a zone is read as UTC.
    TimeWithoutZone,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// A number has the digits of a date, and is read as that.
    DateNumber,
    /// With a half-life: the newest rows are so far ahead of all others that these have next to no
    /// weight.
    FarAhead,
}

impl Reinterpretation {
    const ALL: [Self; 14] = [
        Self::PaddedId,
        Self::FloatId,
        Self::NullWord,
        Self::QuotedId,
        Self::DecimalComma,
        Self::SeveralLines,
        Self::BackslashEscape,
        Self::LateKey,
        Self::TimeWithoutZone,
        Self::Milliseconds,
        Self::Microseconds,
        Self::Nanoseconds,
        Self::DateNumber,
        Self::FarAhead,
    ];

    /// Name in the run result.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PaddedId => "paddedId",
            Self::FloatId => "floatId",
            Self::NullWord => "nullWord",
            Self::QuotedId => "quotedId",
            Self::DecimalComma => "decimalComma",
            Self::SeveralLines => "severalLines",
            Self::BackslashEscape => "backslashEscape",
            Self::LateKey => "lateKey",
            Self::TimeWithoutZone => "timeWithoutZone",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
            Self::DateNumber => "dateNumber",
            Self::FarAhead => "farAhead",
        }
    }
}

/// Numbers of rows by reinterpretation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reinterpreted([u64; Reinterpretation::ALL.len()]);

impl Reinterpreted {
    pub(crate) fn add(&mut self, what: Reinterpretation) {
        if let Some(count) = self.0.get_mut(what as usize) {
            *count += 1;
        }
    }

    /// Counts by name, for the run result.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        let entries = Reinterpretation::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0);
        entries.map(|(what, count)| (what.as_str().to_owned(), count)).collect()
    }

    /// `12 paddedId, 3 severalLines`.
    pub(crate) fn described(&self) -> String {
        let entries = self.by_name().into_iter().map(|(name, count)| format!("{count} {name}"));
        entries.collect::<Vec<_>>().join(", ")
    }
}

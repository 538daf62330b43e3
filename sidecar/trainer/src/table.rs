//! Tables in any format, as rows of cells: what the readers of formats give, and what the takers of rows ask for.
//!
//! A format knows how values are written and nothing of users or items; a taker knows what a column means and nothing of
//! formats. What a cell may be converted to stands here, so that a value means the same in every format.

pub(crate) mod delimited;
pub(crate) mod format;
pub(crate) mod header;
pub(crate) mod jsonl;
pub(crate) mod parquet;
mod records;

use sidecar_contract::Column;

use crate::{dropped::DropReason, failure::Stop, limits::ATTRIBUTE_COLUMNS_MAX, timestamp};

/// Most columns that one table is asked for.
pub(crate) const WANTED_MAX: usize = 3 + ATTRIBUTE_COLUMNS_MAX;

/// What a column is for; formats that have types refuse a column whose type cannot be that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Text, or a whole number, which is written in decimal digits.
    Id,
    /// A number.
    Number,
    /// Seconds since 1970, RFC 3339, or a type that is a moment.
    Time,
    /// Text for people.
    Text,
    /// Yes or no.
    Flag,
    /// Whatever there is: nothing is refused, and what no cell can hold is null.
    Any,
}

/// A column that a taker asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its name or number; `None`: only if there is one called [`Self::by_default`].
    pub(crate) column: Option<Column>,
    /// What it is called where the resource names none.
    pub(crate) by_default: Option<&'static str>,
    /// What the user would change.
    pub(crate) spec_field: &'static str,
    pub(crate) role: Role,
}

/// A value as its format gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// No value.
    Null,
    /// As it stands in the file, UTF-8 or not.
    Text(&'a [u8]),
    Int(i128),
    Float(f64),
    /// Microseconds since 1970.
    Micros(i64),
    Bool(bool),
    /// A list, an object, or another thing that no column is for.
    Other,
}

/// Takes the rows of a table's files, one after the other.
pub(crate) trait Taker {
    /// The columns of a file, before any is asked for: who looks around may choose by them.
    fn columns(&mut self, _: &header::Kind) {}
    /// At most [`WANTED_MAX`] columns; cells come in this order.
    fn wanted(&self) -> &[Wanted];
    /// A file (of several, perhaps) begins, and has these of the wanted columns.
    fn begin(&mut self, file: &str, present: [bool; WANTED_MAX]) -> Result<(), Stop>;
    /// A row; cells of columns that are not there are null.
    fn row(&mut self, cells: &[Cell<'_>; WANTED_MAX]) -> Result<(), Stop>;
    /// Text that is no row; `rows` is how many it would have been.
    fn bad(&mut self, reason: DropReason, rows: u64);
}

/// Room for a whole number in decimal digits.
#[derive(Debug, Default)]
pub(crate) struct Digits(String);

impl<'a> Cell<'a> {
    /// The id that this is; a number is written into `digits`.
    pub(crate) fn id(self, digits: &'a mut Digits, empty: DropReason) -> Result<&'a str, DropReason> {
        match self {
            Self::Null => Err(empty),
            Self::Text(bytes) => match std::str::from_utf8(bytes).map_err(|_| DropReason::NotUtf8)? {
                text if text.trim().is_empty() => Err(empty),
                text if text.len() > crate::limits::ID_BYTES_MAX => Err(DropReason::IdTooLong),
                text => Ok(text),
            },
            Self::Int(number) => {
                use std::fmt::Write as _;
                digits.0.clear();
                // Writing to a string cannot fail.
                let _ = match i64::try_from(number) {
                    Ok(number) => write!(digits.0, "{number}"),
                    Err(_) => write!(digits.0, "{number}"),
                };
                Ok(&digits.0)
            }
            // A number with a fraction names nothing: 9007199254740993.0 is 9007199254740992 already.
            Self::Float(_) | Self::Micros(_) | Self::Bool(_) | Self::Other => Err(DropReason::WrongType),
        }
    }

    /// The finite number that this is.
    pub(crate) fn number(self) -> Result<f32, DropReason> {
        let number = match self {
            Self::Null => return Err(DropReason::NotANumber),
            Self::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| DropReason::NotUtf8)?;
                text.trim().parse().map_err(|_| DropReason::NotANumber)?
            }
            #[allow(
                clippy::cast_possible_truncation,
                reason = "what is too large becomes infinite, and is refused below"
            )]
            Self::Float(number) => number as f32,
            Self::Int(number) => number as f32,
            Self::Micros(_) | Self::Bool(_) | Self::Other => return Err(DropReason::WrongType),
        };
        if number.is_finite() { Ok(number) } else { Err(DropReason::NotFinite) }
    }

    /// Microseconds since 1970.
    pub(crate) fn micros(self) -> Result<i64, DropReason> {
        let micros = match self {
            Self::Null => None,
            Self::Text(bytes) => timestamp::parse_micros(std::str::from_utf8(bytes).map_err(|_| DropReason::NotUtf8)?),
            Self::Int(seconds) => i64::try_from(seconds).ok().and_then(timestamp::micros_of_seconds),
            Self::Float(seconds) => timestamp::micros_of_fraction(seconds),
            Self::Micros(micros) => Some(micros),
            Self::Bool(_) | Self::Other => return Err(DropReason::WrongType),
        };
        micros.ok_or(DropReason::BadTimestamp)
    }

    /// Text for people; empty where there is none.
    pub(crate) fn text(self, digits: &'a mut Digits) -> Result<&'a str, DropReason> {
        match self {
            Self::Null => Ok(""),
            Self::Text(bytes) => std::str::from_utf8(bytes).map(str::trim).map_err(|_| DropReason::NotUtf8),
            Self::Int(_) => self.id(digits, DropReason::WrongType),
            Self::Float(_) | Self::Micros(_) | Self::Bool(_) | Self::Other => Err(DropReason::WrongType),
        }
    }

    /// `false`, `0` and `no` are no, everything else is yes.
    pub(crate) fn flag(self) -> Result<bool, DropReason> {
        match self {
            Self::Null => Ok(true),
            Self::Bool(flag) => Ok(flag),
            Self::Int(number) => Ok(number != 0),
            Self::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| DropReason::NotUtf8)?.trim();
                Ok(!["false", "0", "no"].iter().any(|word| text.eq_ignore_ascii_case(word)))
            }
            Self::Float(_) | Self::Micros(_) | Self::Other => Err(DropReason::WrongType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_means_the_same_in_every_format() {
        let mut digits = Digits::default();
        let mut id = |cell: Cell<'_>| cell.id(&mut digits, DropReason::EmptyUser).map(str::to_owned);
        assert_eq!(id(Cell::Text(b"42")), id(Cell::Int(42)));
        assert_eq!(id(Cell::Int(-7)), Ok("-7".to_owned()));
        assert_eq!(id(Cell::Int(i128::from(u64::MAX))), Ok("18446744073709551615".to_owned()));
        assert_eq!(id(Cell::Null), Err(DropReason::EmptyUser));
        assert_eq!(id(Cell::Float(42.0)), Err(DropReason::WrongType));
        assert_eq!(id(Cell::Text(b"\xff")), Err(DropReason::NotUtf8));
        assert_eq!(Cell::Text(b" 4.5 ").number(), Cell::Float(4.5).number());
        assert_eq!(Cell::Int(3).number(), Ok(3.0));
        assert_eq!(Cell::Float(1e300).number(), Err(DropReason::NotFinite));
        assert_eq!(Cell::Float(f64::NAN).number(), Err(DropReason::NotFinite));
        assert_eq!(Cell::Bool(true).number(), Err(DropReason::WrongType));
        assert_eq!(Cell::Text(b"1970-01-01T00:00:01Z").micros(), Cell::Int(1).micros());
        assert_eq!(Cell::Float(1.5).micros(), Ok(1_500_000));
        assert_eq!(Cell::Int(i128::MAX).micros(), Err(DropReason::BadTimestamp));
        assert_eq!(Cell::Text(b"No").flag(), Cell::Bool(false).flag());
        assert_eq!(Cell::Int(0).flag(), Ok(false));
        assert_eq!(Cell::Null.flag(), Ok(true));
    }
}

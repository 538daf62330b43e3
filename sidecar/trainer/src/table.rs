//! Tables in any format, as rows of cells: the interface between format readers and row sinks.
//!
//! A format reader decodes values and knows nothing about users or items. A sink knows the meaning
//! of a column and nothing about formats. The conversions of a cell are defined here, so that a
//! value means the same in every format.

mod availability;
mod backslash;
pub(crate) mod delimited;
pub(crate) mod encoding;
pub(crate) mod format;
pub(crate) mod header;
pub(crate) mod jsonl;
mod not_utf8;
pub(crate) mod number;
pub(crate) mod parquet;
mod quote_escape;
pub(crate) mod records;

use std::{borrow::Cow, ops::ControlFlow};

use sidecar_contract::Column;

use crate::{
    dropped::DropReason,
    failure::RunError,
    limits::{ATTRIBUTE_COLUMNS_MAX, FILTER_COLUMNS_MAX},
    reinterpreted::Reinterpretation,
    timestamp::Time,
};

/// Maximum number of columns that a sink requests from one table.
pub(crate) const COLUMNS_REQUESTED_MAX: usize = 3 + FILTER_COLUMNS_MAX;
const _: () =
    assert!(ATTRIBUTE_COLUMNS_MAX <= FILTER_COLUMNS_MAX, "a sink requests three columns and one of these kinds");

/// Meaning of a column. Typed formats reject a column whose type does not fit its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Text, or an integer, which is written in decimal digits.
    Id,
    /// A number.
    Number,
    /// A number of units since 1970, text of a date, or a timestamp type.
    Time,
    /// Human-readable text.
    Text,
    /// A boolean.
    Flag,
    /// Any type: no column is rejected, and a value that does not fit into a cell is null.
    Any,
}

/// A column that a sink requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnRequest {
    /// Name or number of the column; `None`: optional, found by [`Self::default_name`].
    pub(crate) column: Option<Column>,
    /// Name of the column if the resource does not name one.
    pub(crate) default_name: Option<&'static str>,
    /// Field of the resource that sets the column.
    pub(crate) spec_field: &'static str,
    pub(crate) role: Role,
}

/// A value as decoded by its format reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// No value.
    Null,
    /// The bytes in the file, valid UTF-8 or not.
    Text(&'a [u8]),
    Int(i128),
    Float(f64),
    /// Microseconds since 1970.
    Micros(i64),
    Bool(bool),
    /// A UUID type; text that is a UUID stays text.
    Uuid(u128),
    /// A list, an object, or another value that no role accepts.
    Other,
}

/// Receives the rows of a table's files, one after the other.
pub(crate) trait RowSink {
    /// Receives the columns of a file before [`Self::requests`] is called; the requests may depend
    /// on them.
    fn columns(&mut self, _: &header::ColumnNaming) {}
    /// Up to [`COLUMNS_REQUESTED_MAX`] columns; cells arrive in this order.
    fn requests(&self) -> &[ColumnRequest];
    /// Begins a file; `present` flags the requested columns that it has.
    fn begin(&mut self, file: &str, present: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError>;
    /// Receives a row; cells of missing columns are null. A break ends the read early.
    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError>;
    /// Receives that a part of the next row is read in another form than it is written.
    fn reinterpreted(&mut self, _: Reinterpretation) {}
    /// Receives text that cannot be decoded as a row; `rows` is the number of rows that it stands
    /// for.
    fn bad(&mut self, reason: DropReason, rows: u64);
}

/// Buffer for an integer in decimal digits.
#[derive(Debug, Default)]
pub(crate) struct Digits(String);

impl<'a> Cell<'a> {
    /// The cell as an id without white space around it; a number is written into `digits`.
    pub(crate) fn id(self, digits: &'a mut Digits, empty: DropReason) -> Result<&'a str, DropReason> {
        match self {
            Self::Null => Err(empty),
            Self::Text(bytes) => match trimmed(bytes)? {
                None => Err(empty),
                Some(text) if text.len() > crate::limits::ID_BYTES_MAX => Err(DropReason::IdTooLong),
                Some(text) => Ok(text),
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
            Self::Uuid(uuid) => {
                digits.0 = uuid_text(uuid);
                Ok(&digits.0)
            }
            // A floating-point number is not an id: 9007199254740993.0 is rounded to
            // 9007199254740992.
            Self::Float(_) | Self::Micros(_) | Self::Bool(_) | Self::Other => Err(DropReason::WrongType),
        }
    }

    /// The cell as a finite number.
    pub(crate) fn number(self) -> Result<f32, DropReason> {
        let number = match self {
            Self::Null => return Err(DropReason::NotANumber),
            Self::Text(bytes) => number::parse(trimmed(bytes)?.ok_or(DropReason::NotANumber)?)?,
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a number that is too large becomes infinite and is rejected below"
            )]
            Self::Float(number) => number as f32,
            Self::Int(number) => number as f32,
            Self::Micros(_) | Self::Bool(_) | Self::Uuid(_) | Self::Other => return Err(DropReason::WrongType),
        };
        if number.is_finite() { Ok(number) } else { Err(DropReason::NotFinite) }
    }

    /// The cell as a finite number in full precision.
    pub(crate) fn double(self) -> Result<f64, DropReason> {
        let number = match self {
            Self::Null => return Err(DropReason::NotANumber),
            Self::Text(bytes) => number::parse(trimmed(bytes)?.ok_or(DropReason::NotANumber)?)?,
            Self::Float(number) => number,
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number beyond 2^53 is rounded, as in the JSON of a request"
            )]
            Self::Int(number) => number as f64,
            Self::Micros(_) | Self::Bool(_) | Self::Uuid(_) | Self::Other => return Err(DropReason::WrongType),
        };
        if number.is_finite() { Ok(number) } else { Err(DropReason::NotFinite) }
    }

    /// The cell as a point in time.
    pub(crate) fn time(self) -> Result<Time, DropReason> {
        let time = match self {
            Self::Null => None,
            Self::Text(bytes) => trimmed(bytes)?.and_then(Time::parse),
            Self::Int(number) => Time::whole(number),
            Self::Float(number) => Time::fraction(number),
            Self::Micros(micros) => Some(Time::exact(micros)),
            Self::Bool(_) | Self::Uuid(_) | Self::Other => return Err(DropReason::WrongType),
        };
        time.ok_or(DropReason::BadTimestamp)
    }

    /// The cell as human-readable text; null is empty.
    pub(crate) fn text(self, digits: &'a mut Digits) -> Result<Cow<'a, str>, DropReason> {
        match self {
            Self::Null => Ok(Cow::Borrowed("")),
            Self::Text(bytes) => Ok(match encoding::decode(bytes) {
                text if text.trim() == NULL_TEXT => Cow::Borrowed(""),
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            }),
            Self::Int(_) | Self::Uuid(_) => self.id(digits, DropReason::WrongType).map(Cow::Borrowed),
            Self::Float(_) | Self::Micros(_) | Self::Bool(_) | Self::Other => Err(DropReason::WrongType),
        }
    }

    /// The cell as the availability of an item: a word, or a stock. Null is available.
    pub(crate) fn flag(self) -> Result<bool, DropReason> {
        match self {
            Self::Null => Ok(true),
            Self::Bool(flag) => Ok(flag),
            Self::Int(stock) => Ok(stock > 0),
            Self::Float(stock) => Ok(availability::is_in_stock(stock).unwrap_or(true)),
            Self::Text(bytes) => match trimmed(bytes)? {
                None => Ok(true),
                Some(text) => availability::parse(text).ok_or(DropReason::UnknownAvailability),
            },
            Self::Micros(_) | Self::Uuid(_) | Self::Other => Err(DropReason::WrongType),
        }
    }
}

/// The text of a UUID, as other formats contain it.
fn uuid_text(uuid: u128) -> String {
    let part = |shift: u32, digits: u32| (uuid >> shift) & ((1 << (4 * digits)) - 1);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12))
}

/// Null in text exports of MySQL, PostgreSQL and Hive.
pub(crate) const NULL_TEXT: &str = "\\N";

/// Text without white space around it; `None` for null.
fn trimmed(bytes: &[u8]) -> Result<Option<&str>, DropReason> {
    let text = std::str::from_utf8(bytes).map_err(|_| DropReason::NotUtf8)?.trim();
    Ok((!text.is_empty() && text != NULL_TEXT).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_means_the_same_in_every_format() {
        let mut digits = Digits::default();
        let mut id = |cell: Cell<'_>| cell.id(&mut digits, DropReason::EmptyUser).map(str::to_owned);
        assert_eq!(id(Cell::Text(b"42")), id(Cell::Int(42)));
        assert_eq!(id(Cell::Text(b" a b\r")), Ok("a b".to_owned()));
        assert_eq!(id(Cell::Text(b"\\N")), id(Cell::Null));
        assert_eq!(id(Cell::Int(-7)), Ok("-7".to_owned()));
        assert_eq!(id(Cell::Int(i128::from(u64::MAX))), Ok("18446744073709551615".to_owned()));
        assert_eq!(id(Cell::Null), Err(DropReason::EmptyUser));
        assert_eq!(id(Cell::Float(42.0)), Err(DropReason::WrongType));
        // RFC 9562, appendix A.6.
        let uuid = 0x017F_22E2_79B0_7CC3_98C4_DC0C_0C07_398F;
        assert_eq!(id(Cell::Uuid(uuid)), id(Cell::Text(b"017f22e2-79b0-7cc3-98c4-dc0c0c07398f")));
        assert_eq!(id(Cell::Text(b"\xff")), Err(DropReason::NotUtf8));
        assert_eq!(Cell::Text(b" 4.5 ").number(), Cell::Float(4.5).number());
        assert_eq!(Cell::Int(3).number(), Ok(3.0));
        assert_eq!(Cell::Float(1e300).number(), Err(DropReason::NotFinite));
        assert_eq!(Cell::Float(f64::NAN).number(), Err(DropReason::NotFinite));
        assert_eq!(Cell::Bool(true).number(), Err(DropReason::WrongType));
        let micros = |cell: Cell<'_>| cell.time().map(|time| time.micros);
        assert_eq!(micros(Cell::Text(b"1970-01-01T00:00:01Z")), micros(Cell::Int(1)));
        assert_eq!(micros(Cell::Text(b"1700000000000")), micros(Cell::Float(1_700_000_000.0)));
        assert_eq!(micros(Cell::Text(b"2023-11-14")), micros(Cell::Micros(1_699_920_000_000_000)));
        assert_eq!(micros(Cell::Float(1.5)), Ok(1_500_000));
        assert_eq!(micros(Cell::Int(i128::MAX)), Err(DropReason::BadTimestamp));
        assert_eq!(Cell::Text(b"No").flag(), Cell::Bool(false).flag());
        assert_eq!(Cell::Int(0).flag(), Ok(false));
        assert_eq!(Cell::Float(0.0).flag(), Cell::Text(b"0.0").flag());
        assert_eq!(Cell::Null.flag(), Ok(true));
        assert_eq!(Cell::Text(b"\\N").flag(), Ok(true));
        assert_eq!(Cell::Text(b"perhaps").flag(), Err(DropReason::UnknownAvailability));
        let mut digits = Digits::default();
        assert_eq!(Cell::Text(b" Caf\xe9 ").text(&mut digits).unwrap(), "Caf\u{e9}");
        assert_eq!(Cell::Text(b"\\N").text(&mut digits).unwrap(), "");
    }
}

//! Column statistics of the first rows of a source, used to guess the meaning of each column. Only
//! counts are kept; the values of the first line are an exception because it may be a header.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::ControlFlow,
};

use sidecar_contract::{Column, Csv, Format, Source as SourceConfig};

use crate::{
    dropped::DropReason,
    failure::RunError,
    options::Options,
    preview::read_preview,
    read::TableFormat,
    source::Source,
    table::{
        COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, NULL_TEXT, Role, RowSink, format::format_of, header::ColumnNaming,
        number,
    },
    timestamp::Time,
};

/// Maximum number of sampled rows.
pub const ROWS_SAMPLED_MAX: u64 = 20_000;
/// Maximum number of sampled columns.
pub const COLUMNS_SAMPLED_MAX: usize = 64;
/// Maximum length of a column name in a resource; longer first values are truncated.
const FIRST_CHARS_MAX: usize = 256;
/// Timestamps as numbers: seconds from 1973 to 2128, milliseconds of the same period, and finer
/// units.
const SECONDS: std::ops::Range<f64> = 1e8..5e9;
const MILLIS: std::ops::Range<f64> = 1e11..5e12;
const FINER_MIN: f64 = 1e14;

/// Statistics of the first rows.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Format of the first file, according to its name.
    pub format: Option<Format>,
    /// Rows that could be decoded.
    pub rows: u64,
    /// Rows that could not be decoded: wrong number of fields, invalid JSON, or too long.
    pub bad_rows: u64,
    /// Names from keys or a schema; `None` for delimited text, whose first line may be a header.
    pub names: Option<Vec<String>>,
    /// Number of columns, including columns that were not sampled.
    pub width: usize,
    /// The sampled columns.
    pub columns: Vec<Values>,
}

/// Statistics of one column. Counts exclude the first line of delimited text.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Value in the first line of delimited text.
    pub first: String,
    /// Non-empty values.
    pub filled: u64,
    /// Distinct values.
    pub distinct: u64,
    /// Values that differ from the previous row; few if the rows are sorted by the column.
    pub changes: u64,
    /// Values that are one greater than in the previous row.
    pub steps: u64,
    /// Numbers.
    pub numbers: u64,
    /// Integers.
    pub whole: u64,
    /// Integers that are written with a fraction: `7.0`.
    pub point_zero: u64,
    /// Minimum of the numbers.
    pub low: f64,
    /// Maximum of the numbers.
    pub high: f64,
    /// Numbers that may be seconds since 1970.
    pub seconds: u64,
    /// Numbers that may be milliseconds since 1970.
    pub millis: u64,
    /// Numbers that may be micro- or nanoseconds since 1970.
    pub finer: u64,
    /// Timestamps other than numbers that the trainer can parse.
    pub timestamps: u64,
    /// Dates in a form that the trainer cannot parse.
    pub other_dates: u64,
    /// Values of more than one word.
    pub spaced: u64,
    /// Boolean values.
    pub flags: u64,
    /// Values that are not text: invalid UTF-8, or with a NUL.
    pub damaged: u64,
}

/// Values that were seen so far.
#[derive(Clone, Default)]
struct SeenValues {
    hashes: HashSet<u64>,
    last: Option<(u64, f64)>,
}

/// Samples the first rows. Without `columns`, only the number of columns is determined, and whether
/// all rows have that number.
pub async fn sample(
    source: &SourceConfig,
    format: Option<Format>,
    csv: &Csv,
    spec_field: &'static str,
    rows_max: u64,
    columns: bool,
) -> Result<Sample, RunError> {
    let source = Source::new(source, spec_field, &Options::default().data_dir, None)?;
    let stat = source.stat().await?;
    let table_format = TableFormat { format, csv, spec_field };
    table_format.check()?;
    tokio::task::block_in_place(|| {
        let (mut found, mut values) = (Sample::default(), Vec::new());
        // The number of columns per read is limited, so the first rows are read several times.
        for first in (0..COLUMNS_SAMPLED_MAX).step_by(COLUMNS_REQUESTED_MAX) {
            let mut scan = Scan { first, columns, spec_field, ..Scan::default() };
            read_preview(&source, &stat, table_format, &mut scan, rows_max, &|_, _| ())?;
            found = scan.found;
            values.append(&mut found.columns);
            if !columns || first + COLUMNS_REQUESTED_MAX >= found.width {
                break;
            }
        }
        let format = stat.parts.first().and_then(|part| format_of(&part.name));
        Ok(Sample { format, columns: values, ..found })
    })
}

/// Samples up to [`COLUMNS_REQUESTED_MAX`] columns, starting at `first`.
#[derive(Default)]
struct Scan {
    first: usize,
    columns: bool,
    spec_field: &'static str,
    requests: Vec<ColumnRequest>,
    found: Sample,
    seen: Vec<SeenValues>,
    begun: bool,
}

impl RowSink for Scan {
    fn columns(&mut self, naming: &ColumnNaming) {
        let (names, width) = match naming {
            ColumnNaming::Numbered(width) => (None, *width),
            ColumnNaming::Named(names) | ColumnNaming::Keys(names) | ColumnNaming::Schema(names) => {
                (Some(names), names.len())
            }
        };
        if !self.begun {
            self.begun = true;
            self.found.names = names.cloned();
            self.found.width = width;
            let count = if self.columns { width.saturating_sub(self.first).min(COLUMNS_REQUESTED_MAX) } else { 0 };
            self.found.columns = vec![Values::default(); count];
            self.seen = vec![SeenValues::default(); count];
        }
        // Files may differ: a missing column is null.
        let column = |index: usize| match (names, &self.found.names) {
            (Some(names), Some(known)) => {
                known.get(index).filter(|name| names.contains(name)).cloned().map(Column::Name)
            }
            _ => u32::try_from(index).ok().filter(|_| index < width).map(Column::Index),
        };
        let request = |index| ColumnRequest {
            column: column(index),
            default_name: None,
            spec_field: self.spec_field,
            role: Role::Any,
        };
        self.requests = (self.first..).take(self.found.columns.len()).map(request).collect();
    }

    fn requests(&self) -> &[ColumnRequest] {
        &self.requests
    }

    fn begin(&mut self, _: &str, _: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        let may_be_header = self.found.rows == 0 && self.found.names.is_none();
        self.found.rows += 1;
        for ((values, seen), cell) in self.found.columns.iter_mut().zip(&mut self.seen).zip(cells) {
            if let (true, Cell::Text(bytes)) = (may_be_header, cell) {
                values.first = String::from_utf8_lossy(bytes).trim().chars().take(FIRST_CHARS_MAX).collect();
                values.damaged += u64::from(is_damaged(bytes));
            } else {
                values.add(*cell, seen);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn bad(&mut self, _: DropReason, rows: u64) {
        self.found.bad_rows += rows;
    }
}

fn is_damaged(bytes: &[u8]) -> bool {
    bytes.contains(&0) || std::str::from_utf8(bytes).is_err()
}

impl Values {
    fn add(&mut self, cell: Cell<'_>, seen: &mut SeenValues) {
        let mut hasher = DefaultHasher::new();
        let mut number = f64::NAN;
        match cell {
            Cell::Text(bytes) if is_damaged(bytes) => {
                self.damaged += 1;
                bytes.hash(&mut hasher);
            }
            Cell::Text(bytes) => {
                let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
                if text.is_empty() || text == NULL_TEXT {
                    return;
                }
                text.hash(&mut hasher);
                number = number::parse(text).unwrap_or(f64::NAN);
                self.point_zero += u64::from(number.is_finite() && text.ends_with(".0"));
                self.spaced += u64::from(text.contains(' '));
                let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
                self.flags += u64::from(is(["true", "false", "yes", "no"]) || text == "0" || text == "1");
                if !number.is_finite() {
                    let is_timestamp = Time::parse(text).is_some();
                    self.timestamps += u64::from(is_timestamp);
                    self.other_dates += u64::from(!is_timestamp && may_be_date(text));
                }
            }
            Cell::Int(whole) => {
                whole.hash(&mut hasher);
                number = whole as f64;
                self.flags += u64::from(whole == 0 || whole == 1);
            }
            Cell::Float(float) => {
                float.to_bits().hash(&mut hasher);
                number = float;
                self.point_zero += u64::from(float.fract() == 0.0);
            }
            Cell::Micros(micros) => {
                micros.hash(&mut hasher);
                self.timestamps += 1;
            }
            Cell::Uuid(uuid) => uuid.hash(&mut hasher),
            Cell::Bool(flag) => {
                flag.hash(&mut hasher);
                self.flags += 1;
            }
            Cell::Null | Cell::Other => return,
        }
        self.filled += 1;
        if number.is_finite() {
            self.add_number(number);
        }
        let hash = hasher.finish();
        self.distinct += u64::from(seen.hashes.insert(hash));
        if let Some((last, before)) = seen.last.replace((hash, number)) {
            self.changes += u64::from(last != hash);
            self.steps += u64::from((number - before - 1.0).abs() < f64::EPSILON);
        }
    }

    fn add_number(&mut self, number: f64) {
        let whole = number.fract() == 0.0;
        (self.low, self.high) = match self.numbers {
            0 => (number, number),
            _ => (self.low.min(number), self.high.max(number)),
        };
        self.numbers += 1;
        self.whole += u64::from(whole);
        self.seconds += u64::from(SECONDS.contains(&number));
        self.millis += u64::from(whole && MILLIS.contains(&number));
        self.finer += u64::from(whole && number >= FINER_MIN);
    }
}

/// `2024-05-01`, `2024-05-01 10:00:00`, `01/05/2024`: digits with two dashes, slashes or dots
/// between them.
fn may_be_date(text: &str) -> bool {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.']).collect();
    parts.len() == 3
        && parts.iter().all(|part| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

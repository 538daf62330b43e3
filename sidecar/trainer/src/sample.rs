//! The first rows of a source, column by column: what a person would look at before saying which column is what. Numbers of
//! values only; no value is kept but the first line's, which may be a header.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use sidecar_contract::{Column, Csv, Format, Source as SourceConfig};

use crate::{
    dropped::DropReason,
    failure::Stop,
    head::read_head,
    read::Form,
    run::Options,
    source::Source,
    table::{Cell, Role, Taker, WANTED_MAX, Wanted, format::format_of, header::Kind},
    timestamp,
};

/// Most rows that are looked at to tell columns apart.
pub const ROWS_SAMPLED_MAX: u64 = 20_000;
/// Most columns that are looked at.
pub const COLUMNS_SAMPLED_MAX: usize = 64;
/// Longest name of a column in a resource; longer first values are cut.
const FIRST_CHARS_MAX: usize = 256;
/// Moments as whole numbers: seconds from 1973 to 2128, as many milliseconds, and anything finer.
const SECONDS: std::ops::Range<f64> = 1e8..5e9;
const MILLIS: std::ops::Range<f64> = 1e11..5e12;
const FINER_MIN: f64 = 1e14;

/// What a look at the first rows found.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// That of the first file, by its name.
    pub format: Option<Format>,
    /// Rows that could be cut.
    pub rows: u64,
    /// Rows that could not: other counts of fields, no JSON, too long.
    pub bad_rows: u64,
    /// Names from keys or a schema; `None` for delimited text, whose first line may be a header.
    pub names: Option<Vec<String>>,
    /// How many columns there are, those that were not looked at included.
    pub width: usize,
    /// The columns that were looked at.
    pub columns: Vec<Values>,
}

/// What stands in one column. Counts leave out the first line of delimited text.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// What the first line of delimited text holds.
    pub first: String,
    /// Values that are there.
    pub filled: u64,
    /// Different values.
    pub different: u64,
    /// How often a value differs from the one before: few where rows are sorted by it.
    pub changes: u64,
    /// Values that are one more than the one before.
    pub steps: u64,
    /// Numbers.
    pub numbers: u64,
    /// Whole numbers.
    pub whole: u64,
    /// Whole numbers that are written with a fraction: `7.0`.
    pub point_zero: u64,
    /// The least number.
    pub low: f64,
    /// The largest number.
    pub high: f64,
    /// Numbers that may be seconds since 1970.
    pub seconds: u64,
    /// Numbers that may be milliseconds since 1970.
    pub millis: u64,
    /// Numbers that may be micro- or nanoseconds since 1970, which the trainer takes for neither.
    pub finer: u64,
    /// Moments that the trainer reads: RFC 3339, or a type that is a moment.
    pub moments: u64,
    /// Dates in a form that the trainer does not read.
    pub other_dates: u64,
    /// Values of more than one word.
    pub spaced: u64,
    /// Values that say yes or no.
    pub flags: u64,
    /// Values that are no text: not UTF-8, or with a NUL.
    pub damaged: u64,
}

/// What tells whether the next value is a new one.
#[derive(Clone, Default)]
struct Met {
    hashes: HashSet<u64>,
    last: Option<(u64, f64)>,
}

/// Looks at the first rows. Without `columns` only their number is found, and whether rows agree on it.
pub async fn sample(
    source: &SourceConfig,
    format: Option<Format>,
    csv: &Csv,
    spec_field: &'static str,
    rows_max: u64,
    columns: bool,
) -> Result<Sample, Stop> {
    let source = Source::new(source, spec_field, &Options::default().data_dir, None)?;
    let stat = source.stat().await?;
    let form = Form { format, csv, spec_field };
    form.check()?;
    tokio::task::block_in_place(|| {
        let (mut found, mut values) = (Sample::default(), Vec::new());
        // A table is asked for few columns at a time, so its head is read as often as it takes.
        for first in (0..COLUMNS_SAMPLED_MAX).step_by(WANTED_MAX) {
            let mut scan = Scan { first, columns, spec_field, ..Scan::default() };
            read_head(&source, &stat, form, &mut scan, rows_max, &|_, _| ())?;
            found = scan.found;
            values.append(&mut found.columns);
            if !columns || first + WANTED_MAX >= found.width {
                break;
            }
        }
        let format = stat.parts.first().and_then(|part| format_of(&part.name));
        Ok(Sample { format, columns: values, ..found })
    })
}

/// Takes up to [`WANTED_MAX`] columns from `first` on.
#[derive(Default)]
struct Scan {
    first: usize,
    columns: bool,
    spec_field: &'static str,
    wanted: Vec<Wanted>,
    found: Sample,
    met: Vec<Met>,
    begun: bool,
}

impl Taker for Scan {
    fn columns(&mut self, kind: &Kind) {
        let (names, width) = match kind {
            Kind::Numbered(width) => (None, *width),
            Kind::Named(names) | Kind::Keys(names) | Kind::Schema(names) => (Some(names), names.len()),
        };
        if !self.begun {
            self.begun = true;
            self.found.names = names.cloned();
            self.found.width = width;
            let count = if self.columns { width.saturating_sub(self.first).min(WANTED_MAX) } else { 0 };
            self.found.columns = vec![Values::default(); count];
            self.met = vec![Met::default(); count];
        }
        // Files may differ: a column that this one lacks is null in it.
        let column = |index: usize| match (names, &self.found.names) {
            (Some(names), Some(known)) => {
                known.get(index).filter(|name| names.contains(name)).cloned().map(Column::Name)
            }
            _ => u32::try_from(index).ok().filter(|_| index < width).map(Column::Index),
        };
        let wanted =
            |index| Wanted { column: column(index), by_default: None, spec_field: self.spec_field, role: Role::Any };
        self.wanted = (self.first..).take(self.found.columns.len()).map(wanted).collect();
    }

    fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    fn begin(&mut self, _: &str, _: [bool; WANTED_MAX]) -> Result<(), Stop> {
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>; WANTED_MAX]) -> Result<(), Stop> {
        let may_be_header = self.found.rows == 0 && self.found.names.is_none();
        self.found.rows += 1;
        for ((values, met), cell) in self.found.columns.iter_mut().zip(&mut self.met).zip(cells) {
            if let (true, Cell::Text(bytes)) = (may_be_header, cell) {
                values.first = String::from_utf8_lossy(bytes).trim().chars().take(FIRST_CHARS_MAX).collect();
                values.damaged += u64::from(is_damaged(bytes));
            } else {
                values.add(*cell, met);
            }
        }
        Ok(())
    }

    fn bad(&mut self, _: DropReason, rows: u64) {
        self.found.bad_rows += rows;
    }
}

fn is_damaged(bytes: &[u8]) -> bool {
    bytes.contains(&0) || std::str::from_utf8(bytes).is_err()
}

impl Values {
    fn add(&mut self, cell: Cell<'_>, met: &mut Met) {
        let mut hasher = DefaultHasher::new();
        let mut number = f64::NAN;
        match cell {
            Cell::Text(bytes) if is_damaged(bytes) => {
                self.damaged += 1;
                bytes.hash(&mut hasher);
            }
            Cell::Text(bytes) => {
                let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
                if text.is_empty() {
                    return;
                }
                text.hash(&mut hasher);
                number = text.parse().unwrap_or(f64::NAN);
                self.point_zero += u64::from(number.is_finite() && text.ends_with(".0"));
                self.spaced += u64::from(text.contains(' '));
                let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
                self.flags += u64::from(is(["true", "false", "yes", "no"]) || text == "0" || text == "1");
                if !number.is_finite() {
                    let read = timestamp::parse_micros(text).is_some();
                    self.moments += u64::from(read);
                    self.other_dates += u64::from(!read && looks_like_a_date(text));
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
                self.moments += 1;
            }
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
        self.different += u64::from(met.hashes.insert(hash));
        if let Some((last, before)) = met.last.replace((hash, number)) {
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

/// `2024-05-01`, `2024-05-01 10:00:00`, `01/05/2024`: digits with two dashes, slashes or dots between them.
fn looks_like_a_date(text: &str) -> bool {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.']).collect();
    parts.len() == 3
        && parts.iter().all(|part| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

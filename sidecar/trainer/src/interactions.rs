//! Rows of the source to interactions: which are kept, which are dropped and why.

use sidecar_contract::{Columns, Csv, RowCounts};

use crate::{
    columns::{Header, Positions},
    dropped::{DropReason, Dropped},
    failure::{FailureReason, Stop},
    interner::Interner,
    limits::{DROPPED_SHARE_MAX, ID_BYTES_MAX, Limits},
    records::{Record, Row},
    timestamp::parse_micros,
};

/// A kept row, with provisional numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RawRow {
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) weight: f32,
}

/// What was read.
pub(crate) struct RawInteractions {
    pub(crate) users: Interner,
    pub(crate) items: Interner,
    pub(crate) rows: Vec<RawRow>,
    /// Microseconds since 1970 beside each row, if there is such a column.
    pub(crate) times: Option<Vec<i64>>,
    /// Rows read, kept and dropped.
    pub(crate) counts: RowCounts,
    pub(crate) dropped: Dropped,
}

/// Takes one row after the other.
pub(crate) struct InteractionReader<'a> {
    described_as: &'a str,
    columns: &'a Columns,
    csv: &'a Csv,
    limits: Limits,
    layout: Option<Layout>,
    users: Interner,
    items: Interner,
    rows: Vec<RawRow>,
    times: Vec<i64>,
    read: u64,
    dropped: Dropped,
}

#[derive(Clone, Copy)]
struct Layout {
    positions: Positions,
    fields: usize,
}

/// What one row says.
struct Parsed<'a> {
    user: &'a str,
    item: &'a str,
    weight: f32,
    time: Option<i64>,
}

impl<'a> InteractionReader<'a> {
    pub(crate) fn new(described_as: &'a str, columns: &'a Columns, csv: &'a Csv, limits: Limits) -> Self {
        Self {
            described_as,
            columns,
            csv,
            limits,
            layout: None,
            users: Interner::default(),
            items: Interner::default(),
            rows: Vec::new(),
            times: Vec::new(),
            read: 0,
            dropped: Dropped::default(),
        }
    }

    /// Rows read, kept and dropped so far.
    pub(crate) fn progress(&self) -> (u64, u64, u64) {
        (self.read, self.rows.len() as u64, self.dropped.total())
    }

    /// One more row of the file; the first one is the header, or says how many fields there are.
    pub(crate) fn row(&mut self, row: Row<'_>) -> Result<(), Stop> {
        let layout = match (self.layout, row) {
            (Some(layout), _) => layout,
            (None, Row::Record(first)) => {
                let header = Header::new(self.described_as, self.csv, first);
                let positions = header.interactions(self.columns)?;
                let layout = Layout { positions, fields: header.fields() };
                self.layout = Some(layout);
                if self.csv.header {
                    return Ok(());
                }
                layout
            }
            (None, Row::TooLong { .. }) => {
                return Err(Stop::bad_data(format!(
                    "the first line of {} is longer than {} bytes: is this delimited text?",
                    self.described_as,
                    crate::limits::ROW_BYTES_MAX
                )));
            }
        };
        let (parsed, lines) = match row {
            Row::TooLong { lines } => (Err(DropReason::RowTooLong), lines),
            Row::Record(record) => (parse(record, layout), record.lines()),
        };
        match parsed {
            Ok(parsed) => {
                self.read += 1;
                self.keep(&parsed)
            }
            Err(reason) => {
                // A quote that is never closed swallows lines: they count as the rows that they would have been.
                self.read += lines;
                self.dropped.add(reason, self.read + 1 - lines, lines);
                Ok(())
            }
        }
    }

    fn keep(&mut self, parsed: &Parsed<'_>) -> Result<(), Stop> {
        let too_many = |what: &str, max: u32| {
            Stop::failed(
                FailureReason::CapacityInsufficient,
                format!("{} has more than {max} {what}, the most that one model takes", self.described_as),
            )
        };
        let Limits { users_max, items_max, interactions_max } = self.limits;
        let Some(user) = self.users.number(parsed.user, users_max) else { return Err(too_many("users", users_max)) };
        let Some(item) = self.items.number(parsed.item, items_max) else { return Err(too_many("items", items_max)) };
        if self.rows.len() as u64 >= u64::from(interactions_max) {
            return Err(too_many("rows", interactions_max));
        }
        self.rows.push(RawRow { user, item, weight: parsed.weight });
        self.times.extend(parsed.time);
        Ok(())
    }

    /// The file is over: what was read, if it can be trusted.
    pub(crate) fn finish(self) -> Result<RawInteractions, Stop> {
        let source = self.described_as;
        let Some(layout) = self.layout else {
            return Err(Stop::bad_data(format!("{source} is empty: expected a header and at least one row")));
        };
        let dropped = self.dropped.total();
        let described = self.dropped.described();
        if self.read == 0 {
            return Err(Stop::bad_data(format!("{source} has a header but no rows")));
        }
        if self.rows.is_empty() {
            return Err(Stop::bad_data(format!(
                "no row of {source} can be used: {} read, dropped {described}. Check spec.data.columns",
                self.read
            )));
        }
        if dropped as f64 > DROPPED_SHARE_MAX * self.read as f64 {
            return Err(Stop::bad_data(format!(
                "more than half of the rows of {source} cannot be used: {} read, dropped {described}. Check spec.data.columns \
                 and csv.delimiter, or clean the data",
                self.read
            )));
        }
        let counts =
            RowCounts { read: self.read, kept: self.rows.len() as u64, dropped: self.dropped.by_name(), merged: 0 };
        Ok(RawInteractions {
            users: self.users,
            items: self.items,
            rows: self.rows,
            times: layout.positions.timestamp.map(|_| self.times),
            counts,
            dropped: self.dropped,
        })
    }

    /// Counts for a run that failed while reading.
    pub(crate) fn counts(&self) -> RowCounts {
        RowCounts { read: self.read, kept: self.rows.len() as u64, dropped: self.dropped.by_name(), merged: 0 }
    }
}

fn parse(record: Record<'_>, layout: Layout) -> Result<Parsed<'_>, DropReason> {
    let Layout { positions, fields } = layout;
    if record.len() != fields {
        return Err(DropReason::WrongFieldCount);
    }
    let text = |index: usize| {
        let field = record.field(index).ok_or(DropReason::WrongFieldCount)?;
        std::str::from_utf8(field).map_err(|_| DropReason::NotUtf8)
    };
    let id = |index: usize, empty: DropReason| match text(index)? {
        id if id.trim().is_empty() => Err(empty),
        id if id.len() > ID_BYTES_MAX => Err(DropReason::IdTooLong),
        id => Ok(id),
    };
    Ok(Parsed {
        user: id(positions.user, DropReason::EmptyUser)?,
        item: id(positions.item, DropReason::EmptyItem)?,
        weight: positions.rating.map_or(Ok(1.0), |index| parse_weight(text(index)?))?,
        time: positions
            .timestamp
            .map(|index| parse_micros(text(index)?).ok_or(DropReason::BadTimestamp))
            .transpose()?,
    })
}

fn parse_weight(text: &str) -> Result<f32, DropReason> {
    let weight: f32 = text.trim().parse().map_err(|_| DropReason::NotANumber)?;
    if weight.is_finite() { Ok(weight) } else { Err(DropReason::NotFinite) }
}

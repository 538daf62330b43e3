//! Delimited text as rows of cells.

use sidecar_contract::Csv;

use super::{
    Cell, Taker, WANTED_MAX,
    header::{Header, Kind, Positions, present},
    records::{Record, RecordCutter, Row},
};
use crate::{dropped::DropReason, failure::Stop, limits::ROW_BYTES_MAX};

/// Reads one file.
pub(crate) struct Delimited<'a> {
    described_as: &'a str,
    csv: &'a Csv,
    cutter: RecordCutter,
    layout: Option<Layout>,
}

#[derive(Clone, Copy)]
struct Layout {
    positions: Positions,
    fields: usize,
}

impl<'a> Delimited<'a> {
    pub(crate) fn new(described_as: &'a str, csv: &'a Csv, delimiter: u8) -> Self {
        Self { described_as, csv, cutter: RecordCutter::new(delimiter), layout: None }
    }

    /// Takes the next bytes of the file.
    pub(crate) fn feed(&mut self, chunk: &[u8], taker: &mut dyn Taker) -> Result<(), Stop> {
        let Self { described_as, csv, cutter, layout } = self;
        cutter.feed(chunk, &mut |row: Row<'_>| take(described_as, csv, layout, row, taker))
    }

    /// The file is over.
    pub(crate) fn finish(&mut self, taker: &mut dyn Taker) -> Result<(), Stop> {
        let Self { described_as, csv, cutter, layout } = self;
        cutter.finish(&mut |row: Row<'_>| take(described_as, csv, layout, row, taker))
    }
}

/// One more row of the file; the first one is the header, or says how many fields there are.
fn take(
    described_as: &str,
    csv: &Csv,
    layout: &mut Option<Layout>,
    row: Row<'_>,
    taker: &mut dyn Taker,
) -> Result<(), Stop> {
    let record = match row {
        Row::Record(record) => record,
        Row::TooLong { .. } if layout.is_none() => {
            return Err(Stop::bad_data(format!(
                "the first line of {described_as} is longer than {ROW_BYTES_MAX} bytes: is this delimited text?"
            )));
        }
        Row::TooLong { lines } => {
            taker.bad(DropReason::RowTooLong, lines);
            return Ok(());
        }
    };
    let layout = if let Some(layout) = *layout {
        layout
    } else {
        let found = found(described_as, csv, record, taker)?;
        *layout = Some(found);
        taker.begin(described_as, present(&found.positions))?;
        if csv.header {
            return Ok(());
        }
        found
    };
    if record.len() != layout.fields {
        // A quote that is never closed swallows lines: they count as the rows that they would have been.
        taker.bad(DropReason::WrongFieldCount, record.lines());
        return Ok(());
    }
    let mut cells = [Cell::Null; WANTED_MAX];
    for (cell, position) in cells.iter_mut().zip(layout.positions) {
        if let Some(field) = position.and_then(|position| record.field(position)) {
            *cell = Cell::Text(field);
        }
    }
    taker.row(&cells)
}

fn found(described_as: &str, csv: &Csv, first: Record<'_>, taker: &mut dyn Taker) -> Result<Layout, Stop> {
    let fields = first.len();
    let name = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    let kind = if csv.header { Kind::Named(first.fields().map(name).collect()) } else { Kind::Numbered(fields) };
    taker.columns(&kind);
    let positions = Header { described_as, kind }.positions(taker.wanted())?;
    Ok(Layout { positions, fields })
}

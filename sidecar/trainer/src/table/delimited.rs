//! Delimited text as rows of cells.

use std::ops::ControlFlow;

use sidecar_contract::Csv;

use super::{
    COLUMNS_REQUESTED_MAX, Cell, RowSink,
    header::{ColumnNaming, Header, Positions, present},
    records::{Record, RecordCutter, Row},
};
use crate::{dropped::DropReason, failure::RunError, limits::ROW_BYTES_MAX, reinterpreted::Reinterpretation};

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
    /// Without `quoting`, quotes are ordinary characters.
    pub(crate) fn new(described_as: &'a str, csv: &'a Csv, delimiter: u8, quoting: bool) -> Self {
        Self { described_as, csv, cutter: RecordCutter::new(delimiter, quoting), layout: None }
    }

    /// Processes the next bytes of the file.
    pub(crate) fn feed(&mut self, chunk: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Self { described_as, csv, cutter, layout } = self;
        result(cutter.feed(chunk, &mut |row: Row<'_>| control_flow(take(described_as, csv, layout, row, sink))))
    }

    /// Processes the end of the file.
    pub(crate) fn finish(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Self { described_as, csv, cutter, layout } = self;
        result(cutter.finish(&mut |row: Row<'_>| control_flow(take(described_as, csv, layout, row, sink))))
    }
}

/// For the cutter, an error is a break, too.
fn control_flow(result: Result<ControlFlow<()>, RunError>) -> ControlFlow<Result<(), RunError>> {
    match result {
        Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
        Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

/// The inverse of [`control_flow`].
fn result(control_flow: ControlFlow<Result<(), RunError>>) -> Result<ControlFlow<()>, RunError> {
    match control_flow {
        ControlFlow::Continue(()) => Ok(ControlFlow::Continue(())),
        ControlFlow::Break(result) => result.map(ControlFlow::Break),
    }
}

/// Processes a row of the file. The first one is the header, or sets the number of fields.
fn take(
    described_as: &str,
    csv: &Csv,
    layout: &mut Option<Layout>,
    row: Row<'_>,
    sink: &mut dyn RowSink,
) -> Result<ControlFlow<()>, RunError> {
    let record = match row {
        Row::Record(record) => record,
        Row::TooLong { .. } if layout.is_none() => {
            return Err(RunError::bad_data(format!(
                "the first line of {described_as} is longer than {ROW_BYTES_MAX} bytes: check that it is delimited text"
            )));
        }
        Row::TooLong { lines } => {
            sink.bad(DropReason::RowTooLong, lines);
            return Ok(ControlFlow::Continue(()));
        }
    };
    let layout = if let Some(layout) = *layout {
        layout
    } else {
        let found = found(described_as, csv, record, sink)?;
        *layout = Some(found);
        sink.begin(described_as, present(&found.positions))?;
        if csv.header {
            return Ok(ControlFlow::Continue(()));
        }
        found
    };
    if record.len() != layout.fields {
        // An unclosed quote spans many lines; each of them counts as a row.
        sink.bad(DropReason::WrongFieldCount, record.lines());
        return Ok(ControlFlow::Continue(()));
    }
    if record.lines() > 1 {
        sink.reinterpreted(Reinterpretation::SeveralLines);
    }
    let mut cells = [Cell::Null; COLUMNS_REQUESTED_MAX];
    for (cell, position) in cells.iter_mut().zip(layout.positions) {
        if let Some(field) = position.and_then(|position| record.field(position)) {
            *cell = Cell::Text(field);
        }
    }
    sink.row(&cells)
}

fn found(described_as: &str, csv: &Csv, first: Record<'_>, sink: &mut dyn RowSink) -> Result<Layout, RunError> {
    let fields = first.len();
    let name = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    let naming = if csv.header {
        ColumnNaming::Named(first.fields().map(name).collect())
    } else {
        ColumnNaming::Numbered(fields)
    };
    sink.columns(&naming);
    let positions = Header { described_as, naming }.positions(sink.requests())?;
    Ok(Layout { positions, fields })
}

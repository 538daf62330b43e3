//! Delimited text as rows of cells.

use std::ops::ControlFlow;

use sidecar_contract::{Column, Csv};

use super::{
    COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, RowSink, backslash,
    header::{ColumnNaming, Header, Positions, present},
    records::{Quotes, Record, RecordCutter, Row, lines},
};
use crate::{dropped::DropReason, failure::RunError, limits::ROW_BYTES_MAX, reinterpreted::Reinterpretation};

/// Reads one file.
pub(crate) struct Delimited<'a> {
    cutter: RecordCutter,
    rows: Rows<'a>,
}

/// From records to rows.
struct Rows<'a> {
    described_as: &'a str,
    csv: &'a Csv,
    layout: Option<Layout>,
    /// Whether the next record is the first after the header.
    is_first: bool,
    /// The first record after the header, if it has one field more.
    wider: Option<Held>,
    /// A record that ends in a backslash, which may escape the line break.
    held: Option<Held>,
}

#[derive(Clone, Copy)]
struct Layout {
    positions: Positions,
    fields: usize,
}

impl Layout {
    /// The layout of a file whose rows have one field more than the header. R writes row names
    /// without a column name; else every line ends with a delimiter.
    fn with_unnamed_field(self, last: &[u8], requests: &[ColumnRequest]) -> Self {
        let has_row_names = !last.trim_ascii().is_empty();
        let mut positions = self.positions;
        for (position, request) in positions.iter_mut().zip(requests) {
            let is_named = !matches!(request.column, Some(Column::Index(_)));
            *position = position.map(|position| position + usize::from(has_row_names && is_named));
        }
        Self { positions, fields: self.fields + 1 }
    }
}

/// The fields of one or more records.
struct Held {
    fields: Vec<Vec<u8>>,
    is_unquoted: bool,
    has_escape: bool,
    /// Lines of the file.
    lines: u64,
}

impl<'a> Delimited<'a> {
    pub(crate) fn new(described_as: &'a str, csv: &'a Csv, delimiter: u8, quotes: Quotes) -> Self {
        let rows = Rows { described_as, csv, layout: None, is_first: true, wider: None, held: None };
        Self { cutter: RecordCutter::new(delimiter, csv.delimiter.is_none(), quotes), rows }
    }

    /// Processes the next bytes of the file.
    pub(crate) fn feed(&mut self, chunk: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Self { cutter, rows } = self;
        result(cutter.feed(chunk, &mut |row: Row<'_>| control_flow(rows.take(row, sink))))
    }

    /// Processes the end of the file.
    pub(crate) fn finish(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let Self { cutter, rows } = self;
        if result(cutter.finish(&mut |row: Row<'_>| control_flow(rows.take(row, sink))))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        rows.release(sink)
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

impl Rows<'_> {
    /// Processes a row of the file. The first one is the header, or sets the number of fields.
    fn take(&mut self, row: Row<'_>, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        let record = match row {
            Row::Record(record) => record,
            Row::TooLong { .. } if self.layout.is_none() => {
                return Err(RunError::bad_data(format!(
                    "the first line of {} is longer than {ROW_BYTES_MAX} bytes: check that it is delimited text",
                    self.described_as
                )));
            }
            Row::TooLong { lines } => {
                let released = self.release(sink)?;
                sink.bad(DropReason::RowTooLong, lines);
                return Ok(released);
            }
        };
        let layout = if let Some(layout) = self.layout {
            layout
        } else {
            let found = found(self.described_as, self.csv, record, sink)?;
            self.layout = Some(found);
            sink.begin(self.described_as, present(&found.positions))?;
            if self.csv.header {
                return Ok(ControlFlow::Continue(()));
            }
            found
        };
        if std::mem::take(&mut self.is_first)
            && self.csv.header
            && record.len() == layout.fields + 1
            && !record.fields().any(backslash::escapes_next)
        {
            self.wider = Some(Held::of(record));
            return Ok(ControlFlow::Continue(()));
        }
        let layout = match self.wider.take() {
            None => layout,
            Some(wider) => {
                // A single such row has a delimiter too many.
                let last = wider.fields.last().filter(|_| record.len() == wider.fields.len());
                let layout = last.map_or(layout, |last| layout.with_unnamed_field(last, sink.requests()));
                self.layout = Some(layout);
                if wider.take(layout, sink)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                layout
            }
        };
        if let Some(held) = self.held.take() {
            match held.continued(record, layout.fields) {
                Ok(joined) => return self.hold_or_take(joined, layout, sink),
                Err(held) => {
                    if held.take(layout, sink)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        let may_continue = || record.field(record.len() - 1).is_some_and(backslash::escapes_next);
        if record.len() > layout.fields || may_continue() {
            return self.hold_or_take(Held::new(record, layout.fields), layout, sink);
        }
        if record.len() < layout.fields {
            // An unclosed quote spans many lines; each of them counts as a row.
            sink.bad(DropReason::WrongFieldCount, record.lines());
            return Ok(ControlFlow::Continue(()));
        }
        let field = |position| record.field(position);
        pass_on(field, layout, record.lines(), record.is_unquoted, record.has_escape, sink)
    }

    /// Holds a record back if the next one may continue it.
    fn hold_or_take(
        &mut self,
        held: Held,
        layout: Layout,
        sink: &mut dyn RowSink,
    ) -> Result<ControlFlow<()>, RunError> {
        if held.may_continue(layout.fields) {
            self.held = Some(held);
            return Ok(ControlFlow::Continue(()));
        }
        held.take(layout, sink)
    }

    /// Processes a record that was held back and is not continued.
    fn release(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        match (self.held.take().or_else(|| self.wider.take()), self.layout) {
            (Some(held), Some(layout)) => held.take(layout, sink),
            _ => Ok(ControlFlow::Continue(())),
        }
    }
}

impl Held {
    fn new(record: Record<'_>, fields: usize) -> Self {
        Self::of(record).joined(record.delimiter, fields)
    }

    fn of(record: Record<'_>) -> Self {
        Self {
            fields: record.fields().map(<[u8]>::to_owned).collect(),
            is_unquoted: record.is_unquoted,
            has_escape: record.has_escape,
            lines: record.lines(),
        }
    }

    /// Joins fields at escaped delimiters if there are more than expected; else a value may end in
    /// a backslash.
    fn joined(self, delimiter: u8, fields: usize) -> Self {
        if self.fields.len() <= fields {
            return self;
        }
        let joined = backslash::joined(self.fields.iter().map(Vec::as_slice), delimiter);
        Self { fields: joined, has_escape: true, ..self }
    }

    fn may_continue(&self, fields: usize) -> bool {
        self.fields.len() <= fields
            && self.fields.last().is_some_and(|last| backslash::escapes_next(last))
            && self.fields.iter().map(Vec::len).sum::<usize>() < ROW_BYTES_MAX
    }

    fn take(&self, layout: Layout, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        if self.fields.len() != layout.fields {
            sink.bad(DropReason::WrongFieldCount, self.lines);
            return Ok(ControlFlow::Continue(()));
        }
        let field = |position: usize| self.fields.get(position).map(Vec::as_slice);
        let lines = self.fields.iter().map(|field| lines(field) - 1).sum::<u64>() + 1;
        pass_on(field, layout, lines, self.is_unquoted, self.has_escape, sink)
    }

    /// With a record as its continuation, unless there are then too many fields. The last field of
    /// a record that is complete may only be continued by a part of a value.
    fn continued(self, record: Record<'_>, fields: usize) -> Result<Self, Self> {
        if self.fields.len() == fields && backslash::joined(record.fields(), record.delimiter).len() > 1 {
            return Err(self);
        }
        let mut joined = self.fields.clone();
        backslash::continue_with(&mut joined, record.fields());
        let lines = self.lines + record.lines();
        let continued = Self { fields: joined, has_escape: true, lines, ..self }.joined(record.delimiter, fields);
        if continued.fields.len() > fields { Err(self) } else { Ok(continued) }
    }
}

/// Passes a row on to the sink.
fn pass_on<'a>(
    field: impl Fn(usize) -> Option<&'a [u8]>,
    layout: Layout,
    lines: u64,
    is_unquoted: bool,
    has_escape: bool,
    sink: &mut dyn RowSink,
) -> Result<ControlFlow<()>, RunError> {
    let fields = layout.positions.map(|position| position.and_then(&field));
    // Only text without quotes has escapes in its values: a quoted field contains them as they are.
    let unescaped = fields.map(|field| field.filter(|_| is_unquoted).and_then(backslash::unescaped));
    if has_escape || unescaped.iter().any(Option::is_some) {
        sink.reinterpreted(Reinterpretation::BackslashEscape);
    }
    if lines > 1 {
        sink.reinterpreted(Reinterpretation::SeveralLines);
    }
    let mut cells = [Cell::Null; COLUMNS_REQUESTED_MAX];
    for (cell, (field, unescaped)) in cells.iter_mut().zip(fields.into_iter().zip(&unescaped)) {
        if let Some(field) = unescaped.as_deref().or(field) {
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

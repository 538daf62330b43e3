//! Reads the first rows of a source, where a run reads all of them.

use std::{cell::Cell as Shared, ops::ControlFlow};

use crate::{
    dropped::DropReason,
    failure::RunError,
    limits::CHUNK_BYTES,
    read::{TableFormat, read_all},
    reinterpreted::Reinterpretation,
    source::{Source, Stat},
    table::{COLUMNS_REQUESTED_MAX, Cell, ColumnRequest, RowSink, header::ColumnNaming},
};

/// Forwards rows up to a limit.
struct RowLimit<'a, T> {
    sink: &'a mut T,
    rows_left: u64,
}

/// Reads up to `rows_max` rows. Returns the fraction of the bytes that was read: 1 for the whole
/// source, otherwise an estimate.
pub(crate) fn read_preview<T: RowSink>(
    source: &Source,
    stat: &Stat,
    table_format: TableFormat<'_>,
    sink: &mut T,
    rows_max: u64,
    progress: &dyn Fn(&T, u64),
) -> Result<f64, RunError> {
    let mut limit = RowLimit { sink, rows_left: rows_max };
    let bytes_read = Shared::new(0);
    let read = read_all(source, stat, table_format, &mut limit, &|limit: &RowLimit<'_, T>, bytes| {
        bytes_read.set(bytes);
        progress(limit.sink, bytes);
    })?;
    match read {
        ControlFlow::Continue(()) => Ok(1.0),
        ControlFlow::Break(()) => {
            // The chunk in which the limit was reached has not been reported.
            let bytes = bytes_read.get().max(CHUNK_BYTES as u64).min(stat.size_bytes);
            Ok(bytes as f64 / stat.size_bytes.max(1) as f64)
        }
    }
}

impl<T: RowSink> RowSink for RowLimit<'_, T> {
    fn columns(&mut self, naming: &ColumnNaming) {
        self.sink.columns(naming);
    }

    fn requests(&self) -> &[ColumnRequest] {
        self.sink.requests()
    }

    fn begin(&mut self, file: &str, present: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        self.sink.begin(file, present)
    }

    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        if self.rows_left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        self.rows_left -= 1;
        self.sink.row(cells)
    }

    fn reinterpreted(&mut self, what: Reinterpretation) {
        self.sink.reinterpreted(what);
    }

    fn bad(&mut self, reason: DropReason, rows: u64) {
        self.rows_left = self.rows_left.saturating_sub(rows);
        self.sink.bad(reason, rows);
    }
}

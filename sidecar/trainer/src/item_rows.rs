//! What all readers of an item table share: requests of columns, ids, and counts of what is not
//! read.

use std::borrow::Cow;

use sidecar_contract::Column;

use crate::{
    dropped::{DropReason, Dropped},
    failure::RunError,
    table::{Cell, ColumnRequest, Digits, Role},
};

/// Rows of an item table. A row without a valid id is dropped and counted. A value that cannot be
/// read counts as missing, and the rest of its row is kept.
#[derive(Default)]
pub(crate) struct ItemRows {
    /// Whether a file of the table has begun.
    pub(crate) begun: bool,
    read: u64,
    dropped: Dropped,
    unreadable: Dropped,
    id_digits: Digits,
    text_digits: Digits,
}

impl ItemRows {
    /// Number of rows so far, with those that were dropped.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// The id of the next row; `None` if the row is dropped.
    pub(crate) fn next<'a>(&'a mut self, id: Cell<'a>) -> Option<&'a str> {
        self.read += 1;
        let (row, dropped) = (self.read, &mut self.dropped);
        id.id(&mut self.id_digits, DropReason::EmptyItem).map_err(|reason| dropped.add(reason, row, 1)).ok()
    }

    /// Counts rows that the format cannot read.
    pub(crate) fn bad(&mut self, reason: DropReason, rows: u64) {
        self.read += rows;
        self.dropped.add(reason, self.read + 1 - rows, rows);
    }

    /// A value of the last row; `None` if it cannot be read.
    pub(crate) fn value<T>(&mut self, value: Result<T, DropReason>) -> Option<T> {
        value.map_err(|reason| self.unreadable.add(reason, self.read, 1)).ok()
    }

    /// The text of a cell of the last row; empty if it cannot be read.
    pub(crate) fn text<'a>(&'a mut self, cell: Cell<'a>) -> Cow<'a, str> {
        let (row, unreadable) = (self.read, &mut self.unreadable);
        cell.text(&mut self.text_digits).map_err(|reason| unreadable.add(reason, row, 1)).unwrap_or_default()
    }

    /// Rows that were dropped, and values that could not be read.
    pub(crate) fn lost(&self) -> (String, String) {
        (self.dropped.described(), self.unreadable.described())
    }

    /// Checks that the table has a file.
    pub(crate) fn check(&self, described_as: &str) -> Result<(), RunError> {
        if self.begun { Ok(()) } else { Err(RunError::empty_table(described_as)) }
    }
}

/// A request of a column of an item table.
pub(crate) fn request(column: Option<&Column>, spec_field: &'static str, role: Role) -> ColumnRequest {
    ColumnRequest { column: column.cloned(), default_name: None, spec_field, role }
}

//! Resolves the resource's columns to positions in a row, and writes the error message for a
//! missing column.

use sidecar_contract::Column;

use super::{COLUMNS_REQUESTED_MAX, ColumnRequest};
use crate::failure::RunError;

/// Maximum number of column names that a message lists, and maximum number of characters of each.
const NAMES_LISTED_MAX: usize = 20;
const NAME_CHARS_MAX: usize = 40;

/// Positions of the requested columns in a row.
pub(crate) type Positions = [Option<usize>; COLUMNS_REQUESTED_MAX];

/// Columns of a table.
pub(crate) struct Header<'a> {
    /// Name of the table in messages.
    pub(crate) described_as: &'a str,
    pub(crate) naming: ColumnNaming,
}

/// How columns are identified.
pub(crate) enum ColumnNaming {
    /// By the names in the first line.
    Named(Vec<String>),
    /// By number only; the value is the number of fields.
    Numbered(usize),
    /// By the keys of the first objects.
    Keys(Vec<String>),
    /// By the names in a schema.
    Schema(Vec<String>),
}

impl Header<'_> {
    /// Positions of all requested columns; `None` for an optional column that the table does not
    /// have.
    pub(crate) fn positions(&self, requests: &[ColumnRequest]) -> Result<Positions, RunError> {
        let mut positions = Positions::default();
        for (position, request) in positions.iter_mut().zip(requests) {
            *position = match (&request.column, request.default_name) {
                (Some(column), _) => Some(self.position(column, request.spec_field)?),
                (None, Some(name)) if self.names().is_some_and(|names| names.iter().any(|other| other == name)) => {
                    Some(self.position(&Column::Name(name.to_owned()), request.spec_field)?)
                }
                (None, _) => None,
            };
        }
        Ok(positions)
    }

    fn names(&self) -> Option<&[String]> {
        match &self.naming {
            ColumnNaming::Named(names) | ColumnNaming::Keys(names) | ColumnNaming::Schema(names) => Some(names),
            ColumnNaming::Numbered(_) => None,
        }
    }

    /// Position of a column; `spec_field` is the field of the resource that sets it.
    fn position(&self, column: &Column, spec_field: &str) -> Result<usize, RunError> {
        match column {
            Column::Index(index) => self.by_number(usize::try_from(*index).unwrap_or(usize::MAX), spec_field),
            Column::Name(name) => self.by_name(name, spec_field),
        }
    }

    fn by_number(&self, index: usize, spec_field: &str) -> Result<usize, RunError> {
        let table = self.described_as;
        let (columns, hint) = match &self.naming {
            ColumnNaming::Keys(names) => {
                return Err(RunError::bad_data(format!(
                    "{table} has named keys, not numbered columns: {}. Set {spec_field} to one of them",
                    listed(names)
                )));
            }
            ColumnNaming::Named(names) => (names.len(), ", or csv.delimiter to the separator of the columns"),
            ColumnNaming::Numbered(columns) => (*columns, ", or csv.delimiter to the separator of the columns"),
            ColumnNaming::Schema(names) => (names.len(), ""),
        };
        if index < columns {
            return Ok(index);
        }
        Err(RunError::bad_data(format!(
            "{table} has no column number {index}: it has {columns} columns, numbered from 0. Set {spec_field} to one of \
             them{hint}"
        )))
    }

    fn by_name(&self, name: &str, spec_field: &str) -> Result<usize, RunError> {
        let table = self.described_as;
        let (names, what, hint) = match &self.naming {
            ColumnNaming::Numbered(_) => {
                return Err(RunError::bad_data(format!(
                    "{table} has no header (csv.header: false), so {spec_field}: {name:?} cannot be found by name. Set it to \
                     the number of the column, starting at 0"
                )));
            }
            ColumnNaming::Named(names) => (names, "column", " (or set csv.header: false if the first line is data)"),
            ColumnNaming::Keys(names) => (names, "key", ""),
            ColumnNaming::Schema(names) => (names, "column", ""),
        };
        let mut found = names.iter().enumerate().filter(|(_, other)| *other == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(RunError::bad_data(format!(
                "{table} has more than one column {name:?}. Set {spec_field} to the number of the column, starting at 0"
            ))),
            (None, _) if matches!(self.naming, ColumnNaming::Named(_)) && may_be_data(names) => {
                Err(RunError::bad_data(format!(
                    "{table} has no column {name:?}, and its first line, with {} fields, appears to be data, not a header. \
                     Set csv.header: false, and {spec_field} to the number of the column, starting at 0; or add a header",
                    names.len()
                )))
            }
            (None, _) => Err(match separator(names) {
                Some(separator) if matches!(self.naming, ColumnNaming::Named(_)) => RunError::bad_data(format!(
                    "{table} has no column {name:?}; its only column is {}. Set csv.delimiter to {separator:?}",
                    listed(names)
                )),
                _ => RunError::bad_data(format!(
                    "{table} has no {what} {name:?}; its {what}s are {}. Set {spec_field} to one of them{hint}",
                    listed(names)
                )),
            }),
        }
    }
}

/// What probably separates the columns, if the header is one name that contains it.
fn separator(names: &[String]) -> Option<char> {
    let [name] = names else { return None };
    [';', '\t', '|', ','].into_iter().find(|separator| name.contains(*separator))
}

/// Whether a first line may be a row. A message must not quote a row: user ids must not appear in a
/// status or log. Column names rarely contain digits or `@`, and are never empty.
fn may_be_data(first_line: &[String]) -> bool {
    first_line.iter().any(|field| field.is_empty() || field.contains(|c: char| c.is_numeric() || c == '@'))
}

/// Flags of the columns that are present.
pub(crate) fn present(positions: &Positions) -> [bool; COLUMNS_REQUESTED_MAX] {
    positions.map(|position| position.is_some())
}

fn listed(names: &[String]) -> String {
    let cut = |name: &String| format!("{:?}", name.chars().take(NAME_CHARS_MAX).collect::<String>());
    let text = names.iter().take(NAMES_LISTED_MAX).map(cut).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_LISTED_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

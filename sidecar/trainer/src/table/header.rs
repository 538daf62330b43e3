//! From the resource's columns to positions in a row, and the sentence for a column that is not there.

use sidecar_contract::Column;

use super::{WANTED_MAX, Wanted};
use crate::failure::Stop;

/// Most column names that a message lists, and most characters of each.
const NAMES_LISTED_MAX: usize = 20;
const NAME_CHARS_MAX: usize = 40;

/// Where the wanted columns stand in a row.
pub(crate) type Positions = [Option<usize>; WANTED_MAX];

/// What a table says of its columns.
pub(crate) struct Header<'a> {
    /// What the table is called in messages.
    pub(crate) described_as: &'a str,
    pub(crate) kind: Kind,
}

/// How columns are told apart.
pub(crate) enum Kind {
    /// By the first line, which names them.
    Named(Vec<String>),
    /// By number only: a mere count of fields.
    Numbered(usize),
    /// By the keys of the first object.
    Keys(Vec<String>),
    /// By a schema.
    Schema(Vec<String>),
}

impl Header<'_> {
    /// Positions of all that is wanted; what is only taken if it is there may be absent.
    pub(crate) fn positions(&self, wanted: &[Wanted]) -> Result<Positions, Stop> {
        let mut positions = Positions::default();
        for (position, wanted) in positions.iter_mut().zip(wanted) {
            *position = match (&wanted.column, wanted.by_default) {
                (Some(column), _) => Some(self.position(column, wanted.spec_field)?),
                (None, Some(name)) if self.names().is_some_and(|names| names.iter().any(|other| other == name)) => {
                    Some(self.position(&Column::Name(name.to_owned()), wanted.spec_field)?)
                }
                (None, _) => None,
            };
        }
        Ok(positions)
    }

    fn names(&self) -> Option<&[String]> {
        match &self.kind {
            Kind::Named(names) | Kind::Keys(names) | Kind::Schema(names) => Some(names),
            Kind::Numbered(_) => None,
        }
    }

    /// Position of a column; `spec_field` is what the user would change.
    fn position(&self, column: &Column, spec_field: &str) -> Result<usize, Stop> {
        match column {
            Column::Index(index) => self.by_number(usize::try_from(*index).unwrap_or(usize::MAX), spec_field),
            Column::Name(name) => self.by_name(name, spec_field),
        }
    }

    fn by_number(&self, index: usize, spec_field: &str) -> Result<usize, Stop> {
        let table = self.described_as;
        let (columns, hint) = match &self.kind {
            Kind::Keys(names) => {
                return Err(Stop::bad_data(format!(
                    "{table} has names and no numbers for what its objects hold: {}. Set {spec_field} to one of them",
                    listed(names)
                )));
            }
            Kind::Named(names) => (names.len(), ", or csv.delimiter to what separates them"),
            Kind::Numbered(columns) => (*columns, ", or csv.delimiter to what separates them"),
            Kind::Schema(names) => (names.len(), ""),
        };
        if index < columns {
            return Ok(index);
        }
        Err(Stop::bad_data(format!(
            "{table} has no column number {index}: it has {columns} columns, numbered from 0. Set {spec_field} to one of \
             them{hint}"
        )))
    }

    fn by_name(&self, name: &str, spec_field: &str) -> Result<usize, Stop> {
        let table = self.described_as;
        let (names, what, hint) = match &self.kind {
            Kind::Numbered(_) => {
                return Err(Stop::bad_data(format!(
                    "{table} has no header (csv.header: false), so {spec_field}: {name:?} cannot be found by name. Set it to \
                     the column's number, from 0"
                )));
            }
            Kind::Named(names) => (names, "column", " (or csv.header: false, if the first line is data already)"),
            Kind::Keys(names) => (names, "key", "; the first object must have it"),
            Kind::Schema(names) => (names, "column", ""),
        };
        let mut found = names.iter().enumerate().filter(|(_, other)| *other == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(Stop::bad_data(format!(
                "{table} has more than one column {name:?}. Set {spec_field} to the column's number, from 0"
            ))),
            (None, _) if matches!(self.kind, Kind::Named(_)) && looks_like_data(names) => Err(Stop::bad_data(format!(
                "{table} has no column {name:?}, and its first line, with {} fields, looks like data and not like a header. \
                     Set csv.header: false, and {spec_field} to the column's number, from 0; or write a header",
                names.len()
            ))),
            (None, _) => Err(Stop::bad_data(format!(
                "{table} has no {what} {name:?}; its {what}s are {}. Set {spec_field} to one of them{hint}",
                listed(names)
            ))),
        }
    }
}

/// Whether a first line may be a row, which must not be repeated in a message: ids of users have no place in a status or log.
/// Names of columns rarely hold digits or `@`, and are never empty.
fn looks_like_data(first_line: &[String]) -> bool {
    first_line.iter().any(|field| field.is_empty() || field.contains(|c: char| c.is_numeric() || c == '@'))
}

/// Which of the positions there are.
pub(crate) fn present(positions: &Positions) -> [bool; WANTED_MAX] {
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

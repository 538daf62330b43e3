//! From the resource's columns to positions in a row, and the sentence for a column that is not there.

use sidecar_contract::{Column, Columns, Csv};

use crate::{failure::Stop, records::Record};

/// Most column names that a message lists, and most characters of each.
const NAMES_LISTED_MAX: usize = 20;
const NAME_CHARS_MAX: usize = 40;
/// Columns that are used when the header has them and the resource names no other.
const RATING_BY_DEFAULT: &str = "rating";
const TIMESTAMP_BY_DEFAULT: &str = "timestamp";

/// Where the parts of an interaction stand in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) user: usize,
    pub(crate) item: usize,
    pub(crate) rating: Option<usize>,
    pub(crate) timestamp: Option<usize>,
}

/// The first row of a table, as names or as a mere number of fields.
pub(crate) struct Header<'a> {
    /// What the table is called in messages.
    described_as: &'a str,
    names: Option<Vec<String>>,
    fields: usize,
}

impl<'a> Header<'a> {
    pub(crate) fn new(described_as: &'a str, csv: &Csv, first: Record<'_>) -> Self {
        let name = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
        let names = csv.header.then(|| first.fields().map(name).collect());
        Self { described_as, names, fields: first.len() }
    }

    pub(crate) fn fields(&self) -> usize {
        self.fields
    }

    /// Position of a column; `spec_field` is what the user would change.
    pub(crate) fn position(&self, column: &Column, spec_field: &str) -> Result<usize, Stop> {
        let table = self.described_as;
        match (column, &self.names) {
            (Column::Index(index), _) => {
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                if index < self.fields {
                    return Ok(index);
                }
                Err(Stop::bad_data(format!(
                    "{table} has no column number {index}: its first row has {} columns, numbered from 0. Set {spec_field} \
                     to one of them, or csv.delimiter to what separates them",
                    self.fields
                )))
            }
            (Column::Name(name), None) => Err(Stop::bad_data(format!(
                "{table} has no header (csv.header: false), so {spec_field}: {name:?} cannot be found by name. Set it to \
                 the column's number, from 0"
            ))),
            (Column::Name(name), Some(names)) => {
                let mut found = names.iter().enumerate().filter(|(_, other)| *other == name);
                match (found.next(), found.next()) {
                    (Some((index, _)), None) => Ok(index),
                    (Some(_), Some(_)) => Err(Stop::bad_data(format!(
                        "{table} has more than one column {name:?}. Set {spec_field} to the column's number, from 0"
                    ))),
                    (None, _) => Err(Stop::bad_data(format!(
                        "{table} has no column {name:?}; its columns are {}. Set {spec_field} to one of them (or \
                         csv.header: false, if the first line is data already)",
                        listed(names)
                    ))),
                }
            }
        }
    }

    /// A column that may be absent: the named one must be there, the default one is used if it is.
    fn optional(&self, column: Option<&Column>, default: &str, spec_field: &str) -> Result<Option<usize>, Stop> {
        match column {
            Some(column) => self.position(column, spec_field).map(Some),
            None if self.names.as_ref().is_some_and(|names| names.iter().any(|name| name == default)) => {
                self.position(&Column::Name(default.to_owned()), spec_field).map(Some)
            }
            None => Ok(None),
        }
    }

    pub(crate) fn interactions(&self, columns: &Columns) -> Result<Positions, Stop> {
        let Columns { user, item, rating, timestamp } = columns;
        Ok(Positions {
            user: self.position(user, "spec.data.columns.user")?,
            item: self.position(item, "spec.data.columns.item")?,
            rating: self.optional(rating.as_ref(), RATING_BY_DEFAULT, "spec.data.columns.rating")?,
            timestamp: self.optional(timestamp.as_ref(), TIMESTAMP_BY_DEFAULT, "spec.data.columns.timestamp")?,
        })
    }
}

fn listed(names: &[String]) -> String {
    let cut = |name: &String| format!("{:?}", name.chars().take(NAME_CHARS_MAX).collect::<String>());
    let text = names.iter().take(NAMES_LISTED_MAX).map(cut).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_LISTED_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

//! Lists as comma-separated rows with a header.

use std::{
    fs::File,
    io::{self, BufWriter},
};

use super::ListRow;

/// A CSV file that is being written.
#[derive(Debug)]
pub struct CsvLists(csv::Writer<BufWriter<File>>);

impl CsvLists {
    /// The writer adds the header before the first row.
    pub fn new(file: BufWriter<File>) -> Self {
        Self(csv::Writer::from_writer(file))
    }

    pub fn write<'a>(&mut self, mut rows: impl Iterator<Item = ListRow<'a>>) -> io::Result<()> {
        rows.try_for_each(|row| self.0.serialize(row)).map_err(io::Error::other)
    }

    pub fn finish(self) -> io::Result<BufWriter<File>> {
        self.0.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }
}

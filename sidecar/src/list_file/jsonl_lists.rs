//! Lists as one JSON object per line.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
};

use super::ListRow;

/// A file of JSON lines that is being written.
#[derive(Debug)]
pub struct JsonlLists(BufWriter<File>);

impl JsonlLists {
    pub fn new(file: BufWriter<File>) -> Self {
        Self(file)
    }

    pub fn write<'a>(&mut self, mut rows: impl Iterator<Item = ListRow<'a>>) -> io::Result<()> {
        rows.try_for_each(|row| {
            serde_json::to_writer(&mut self.0, &row)?;
            self.0.write_all(b"\n")
        })
    }

    pub fn finish(self) -> BufWriter<File> {
        self.0
    }
}

//! A file of recommended items, one row for each user and item. It gets its name when it is
//! complete and on the disk; a failed or interrupted run leaves no file of this name.

mod csv_lists;
mod jsonl_lists;
mod parquet_lists;

use std::{
    fs::{File, Permissions},
    io::{self, BufWriter},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tempfile::{Builder, TempPath};

use self::{csv_lists::CsvLists, jsonl_lists::JsonlLists, parquet_lists::ParquetLists};

/// One item of a user's list.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ListRow<'a> {
    /// Id of the user.
    pub user: &'a str,
    /// Place in the list, from 1.
    pub rank: i32,
    /// Id of the item.
    pub item: &'a str,
    /// Score, as in an answer over HTTP.
    pub score: f32,
    /// Revision that computed the list.
    pub revision: &'a str,
    /// Version of the catalogue with the availability of the items; empty without one.
    pub catalogue: &'a str,
}

/// Format of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// Comma-separated, with a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// A file name without a known format.
#[derive(Debug, thiserror::Error)]
#[error("--output {}: the extension is the format; expected .parquet, .jsonl or .csv", .0.display())]
pub struct UnknownFormat(PathBuf);

impl ListFormat {
    /// The format of a file name's extension.
    ///
    /// # Errors
    /// Another extension.
    pub fn of(path: &Path) -> Result<Self, UnknownFormat> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl") => Ok(Self::Jsonl),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(UnknownFormat(path.to_owned())),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    /// Deletes the file unless it gets its name.
    temporary: TempPath,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Csv(CsvLists),
    Jsonl(JsonlLists),
    Parquet(ParquetLists),
}

impl ListFile {
    /// Creates the file under a temporary name, beside its place.
    ///
    /// # Errors
    /// A directory that cannot be written to.
    pub fn create(path: &Path, format: ListFormat) -> io::Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The permissions of a file that is created as usual; the umask applies to them.
        let permissions = Permissions::from_mode(0o666);
        let (file, temporary) =
            Builder::new().prefix(".lists-").permissions(permissions).tempfile_in(directory)?.into_parts();
        let file = BufWriter::new(file);
        let writer = match format {
            ListFormat::Csv => Writer::Csv(CsvLists::new(file)),
            ListFormat::Jsonl => Writer::Jsonl(JsonlLists::new(file)),
            ListFormat::Parquet => Writer::Parquet(ParquetLists::new(file)?),
        };
        Ok(Self { path: path.to_owned(), temporary, writer })
    }

    /// Appends rows, which are in memory at once: a Parquet file has a row group for each call.
    ///
    /// # Errors
    /// A full disk, for example.
    pub fn write<'a>(&mut self, rows: impl Iterator<Item = ListRow<'a>>) -> io::Result<()> {
        match &mut self.writer {
            Writer::Csv(lists) => lists.write(rows),
            Writer::Jsonl(lists) => lists.write(rows),
            Writer::Parquet(lists) => lists.write(rows),
        }
    }

    /// Writes what is buffered to the disk, and gives the file its name.
    ///
    /// # Errors
    /// A full disk, for example.
    pub fn finish(self) -> io::Result<()> {
        let Self { path, temporary, writer } = self;
        let file = match writer {
            Writer::Csv(lists) => lists.finish()?,
            Writer::Jsonl(lists) => lists.finish(),
            Writer::Parquet(lists) => lists.finish()?,
        };
        let file: File = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let directory = temporary.parent().map(File::open).transpose()?;
        temporary.persist(&path).map_err(|error| error.error)?;
        // The name is also on the disk.
        directory.map_or(Ok(()), |directory| directory.sync_all())
    }
}

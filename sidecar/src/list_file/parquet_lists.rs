//! Lists as a Parquet file.

use std::{
    fs::File,
    io::{self, BufWriter},
    sync::Arc,
};

use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::ListRow;

const SCHEMA: &str = "message lists {
    required binary user (UTF8);
    required int32 rank;
    required binary item (UTF8);
    required float score;
    required binary revision (UTF8);
    required binary catalogue (UTF8);
}";

/// A Parquet file that is being written.
pub struct ParquetLists(SerializedFileWriter<BufWriter<File>>);

impl std::fmt::Debug for ParquetLists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetLists").finish_non_exhaustive()
    }
}

impl ParquetLists {
    pub fn new(file: BufWriter<File>) -> io::Result<Self> {
        let schema = parse_message_type(SCHEMA).map_err(io_error)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(io_error)?;
        Ok(Self(writer))
    }

    /// Writes the rows as a row group.
    pub fn write<'a>(&mut self, rows: impl Iterator<Item = ListRow<'a>>) -> io::Result<()> {
        let rows: Vec<ListRow<'_>> = rows.collect();
        self.group(&rows).map_err(io_error)
    }

    fn group(&mut self, rows: &[ListRow<'_>]) -> Result<(), ParquetError> {
        let mut group = self.0.next_row_group()?;
        column::<ByteArrayType>(&mut group, &text(rows, |row| row.user))?;
        column::<Int32Type>(&mut group, &rows.iter().map(|row| row.rank).collect::<Vec<_>>())?;
        column::<ByteArrayType>(&mut group, &text(rows, |row| row.item))?;
        column::<FloatType>(&mut group, &rows.iter().map(|row| row.score).collect::<Vec<_>>())?;
        column::<ByteArrayType>(&mut group, &text(rows, |row| row.revision))?;
        column::<ByteArrayType>(&mut group, &text(rows, |row| row.catalogue))?;
        group.close().map(drop)
    }

    pub fn finish(self) -> io::Result<BufWriter<File>> {
        self.0.into_inner().map_err(io_error)
    }
}

/// The values of a text column. Equal neighbours, such as the user of a list, share their bytes.
fn text<'a>(rows: &[ListRow<'a>], column: impl Fn(&ListRow<'a>) -> &'a str) -> Vec<ByteArray> {
    let mut last: Option<(&str, ByteArray)> = None;
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let value = column(row);
        let bytes = match last {
            Some((text, bytes)) if text == value => bytes,
            _ => ByteArray::from(value),
        };
        values.push(bytes.clone());
        last = Some((value, bytes));
    }
    values
}

/// Writes the next column of the schema.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, BufWriter<File>>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns".to_owned()));
    };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

/// The error of the disk, if it is one.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}

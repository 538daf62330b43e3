//! Apache Parquet as rows of cells: the requested columns only, a batch of rows at a time.

mod blocks;
mod column;
mod decoder_panic;
mod delta_lengths;
mod pages;
#[cfg(test)]
mod tests;

use std::{ops::ControlFlow, sync::Arc};

use parquet::{
    column::reader::get_column_reader,
    errors::ParquetError,
    file::{
        metadata::ParquetMetaData,
        reader::{FileReader as _, SerializedFileReader},
    },
    schema::types::SchemaDescriptor,
};

use self::{
    blocks::Blocks,
    column::{Column, ColumnType},
    decoder_panic::DecoderPanic,
};
use super::{
    COLUMNS_REQUESTED_MAX, Cell, Role, RowSink,
    header::{self, Header, Positions, present},
};
use crate::{
    failure::{RunError, chain},
    limits::{PARQUET_COLUMN_BYTES_MAX, PARQUET_FIXED_BYTES_MAX},
    source::ReadAt,
};

/// Rows in one decoded batch.
const BATCH_ROWS: usize = 4096;

/// The first and the last bytes of a Parquet file.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// Reads one file. `each_batch` receives the fraction of its rows that was read.
pub(crate) fn read<T: RowSink>(
    described_as: &str,
    file: Arc<dyn ReadAt>,
    sink: &mut T,
    each_batch: &dyn Fn(&T, f64),
) -> Result<ControlFlow<()>, RunError> {
    // The decoders may panic on invalid bytes: a panic means that the file is damaged.
    let read = decoder_panic::catch(|| read_file(described_as, file, sink, each_batch));
    read.unwrap_or_else(|DecoderPanic| Err(damaged(described_as, "a value cannot be decoded")))
}

fn read_file<T: RowSink>(
    described_as: &str,
    file: Arc<dyn ReadAt>,
    sink: &mut T,
    each_batch: &dyn Fn(&T, f64),
) -> Result<ControlFlow<()>, RunError> {
    let failed = |error: ParquetError| run_error(described_as, error);
    let blocks = Blocks::new(file);
    let reader = SerializedFileReader::new(blocks.clone()).map_err(failed)?;
    let metadata = reader.metadata().clone();
    let (positions, column_types) = layout(described_as, metadata.file_metadata().schema_descr(), sink)?;
    sink.begin(described_as, present(&positions))?;
    let rows_total: usize = metadata.row_groups().iter().map(|group| rows_of(group.num_rows())).sum();
    let mut rows_done = 0_usize;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut columns: [Option<Box<dyn Column>>; COLUMNS_REQUESTED_MAX] = Default::default();
        for ((column, position), column_type) in columns.iter_mut().zip(positions).zip(column_types) {
            let (Some(position), Some(column_type)) = (position, column_type) else { continue };
            let Some(leaf) = leaf_of(&metadata, position) else { continue };
            let chunk = group.columns().get(leaf).ok_or_else(|| damaged(described_as, "a column is missing"))?;
            let bytes = u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
            if bytes > PARQUET_COLUMN_BYTES_MAX {
                return Err(RunError::bad_data(format!(
                    "{described_as}: column {} of row group {number} has {bytes} bytes, the maximum is \
                     {PARQUET_COLUMN_BYTES_MAX}. Write the file with smaller row groups",
                    chunk.column_path()
                )));
            }
            let descriptor = chunk.column_descr_ptr();
            if descriptor.type_length() > PARQUET_FIXED_BYTES_MAX {
                return Err(RunError::bad_data(format!(
                    "{described_as}: each value of column {} has {} bytes, the maximum is {PARQUET_FIXED_BYTES_MAX}. \
                     Write the column as text",
                    chunk.column_path(),
                    descriptor.type_length()
                )));
            }
            let pages = pages::open(&blocks, chunk, rows_of(group.num_rows())).map_err(failed)?;
            *column = Some(column::open(get_column_reader(descriptor.clone(), pages), &descriptor, column_type));
        }
        let mut rows_left = rows_of(group.num_rows());
        while rows_left > 0 {
            let rows = rows_left.min(BATCH_ROWS);
            for column in columns.iter_mut().flatten() {
                let read = column.read(rows).map_err(failed)?;
                if read != rows {
                    return Err(damaged(described_as, "a column ends before the others"));
                }
            }
            for row in 0..rows {
                let mut cells = [Cell::Null; COLUMNS_REQUESTED_MAX];
                for (cell, column) in cells.iter_mut().zip(&columns) {
                    if let Some(column) = column {
                        *cell = column.cell(row);
                    }
                }
                if sink.row(&cells)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            rows_left -= rows;
            rows_done += rows;
            each_batch(sink, rows_done as f64 / rows_total.max(1) as f64);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn rows_of(rows: i64) -> usize {
    usize::try_from(rows).unwrap_or(0)
}

/// Positions of the requested columns among the schema's top-level fields, and their types.
fn layout(
    described_as: &str,
    schema: &SchemaDescriptor,
    sink: &mut impl RowSink,
) -> Result<(Positions, [Option<ColumnType>; COLUMNS_REQUESTED_MAX]), RunError> {
    let fields = schema.root_schema().get_fields();
    let names = fields.iter().map(|field| field.name().to_owned()).collect();
    let header = Header { described_as, naming: header::ColumnNaming::Schema(names) };
    sink.columns(&header.naming);
    let requests = sink.requests();
    let positions = header.positions(requests)?;
    let mut column_types = [None; COLUMNS_REQUESTED_MAX];
    for ((column_type, position), request) in column_types.iter_mut().zip(positions).zip(requests) {
        let Some(field) = position.and_then(|position| fields.get(position)) else { continue };
        let nested =
            !field.is_primitive() || field.get_basic_info().repetition() == parquet::basic::Repetition::REPEATED;
        if request.role == Role::Any {
            *column_type = if nested { None } else { ColumnType::of(field) };
            continue;
        }
        let invalid = |what: &str| {
            Err(RunError::bad_data(format!(
                "{described_as}: column {:?} is {what}; {} expects {}. Convert the column, or set {} to another one",
                field.name(),
                request.spec_field,
                ColumnType::expected(request.role),
                request.spec_field
            )))
        };
        if nested {
            return invalid("nested (a list, map or struct)");
        }
        *column_type = match ColumnType::of(field) {
            Some(column_type) if column_type.fits(request.role) => Some(column_type),
            _ => return invalid(&column::described(field)),
        };
    }
    Ok((positions, column_types))
}

/// The leaf of this top-level field. Fields that are not nested have one leaf.
fn leaf_of(metadata: &ParquetMetaData, position: usize) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == position)
}

fn run_error(described_as: &str, error: ParquetError) -> RunError {
    match error {
        // An error of the source itself.
        ParquetError::External(cause) => match cause.downcast::<RunError>() {
            Ok(error) => *error,
            Err(cause) => damaged(described_as, &chain(cause.as_ref())),
        },
        ParquetError::NYI(what) => RunError::bad_data(format!(
            "{described_as} uses a Parquet feature that is not supported ({what}). Write it with snappy or zstd compression"
        )),
        other => damaged(described_as, &chain(&other)),
    }
}

fn damaged(described_as: &str, what: &str) -> RunError {
    RunError::bad_data(format!("{described_as} is not a Parquet file, or it is damaged ({what}). Write it again"))
}

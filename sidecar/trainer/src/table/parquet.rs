//! Apache Parquet as rows of cells: the wanted columns only, a batch of rows at a time.

mod blocks;
mod column;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

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
    column::{Column, Kind},
};
use super::{
    Cell, Role, Taker, WANTED_MAX,
    header::{self, Header, Positions, present},
};
use crate::{
    failure::{Stop, chain},
    limits::PARQUET_COLUMN_BYTES_MAX,
    source::ReadAt,
};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 4096;

/// What a Parquet file starts and ends with.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// Reads one file. `each_batch` hears which share of its rows was read.
pub(crate) fn read<T: Taker>(
    described_as: &str,
    file: Arc<dyn ReadAt>,
    taker: &mut T,
    each_batch: &dyn Fn(&T, f64),
) -> Result<(), Stop> {
    // The decoders meet bytes of any kind: one that panics has met a damaged file.
    let read = catch_unwind(AssertUnwindSafe(|| read_file(described_as, file, taker, each_batch)));
    read.unwrap_or_else(|_| Err(damaged(described_as, "a value cannot be decoded")))
}

fn read_file<T: Taker>(
    described_as: &str,
    file: Arc<dyn ReadAt>,
    taker: &mut T,
    each_batch: &dyn Fn(&T, f64),
) -> Result<(), Stop> {
    let failed = |error: ParquetError| stop(described_as, error);
    let reader = SerializedFileReader::new(Blocks::new(file)).map_err(failed)?;
    let metadata = reader.metadata().clone();
    let (positions, kinds) = layout(described_as, metadata.file_metadata().schema_descr(), taker)?;
    taker.begin(described_as, present(&positions))?;
    let rows_total: usize = metadata.row_groups().iter().map(|group| rows_of(group.num_rows())).sum();
    let mut rows_done = 0_usize;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let group_reader = reader.get_row_group(number).map_err(failed)?;
        let mut columns: [Option<Box<dyn Column>>; WANTED_MAX] = Default::default();
        for ((column, position), kind) in columns.iter_mut().zip(positions).zip(kinds) {
            let (Some(position), Some(kind)) = (position, kind) else { continue };
            let Some(leaf) = leaf_of(&metadata, position) else { continue };
            let chunk = group.columns().get(leaf).ok_or_else(|| damaged(described_as, "a column is missing"))?;
            let bytes = u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
            if bytes > PARQUET_COLUMN_BYTES_MAX {
                return Err(Stop::bad_data(format!(
                    "{described_as}: column {} of row group {number} holds {bytes} bytes; at most {PARQUET_COLUMN_BYTES_MAX} are \
                     read at once. Write it with smaller row groups",
                    chunk.column_path()
                )));
            }
            let pages = group_reader.get_column_page_reader(leaf).map_err(failed)?;
            let descriptor = chunk.column_descr_ptr();
            *column = Some(column::open(get_column_reader(descriptor.clone(), pages), &descriptor, kind));
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
                let mut cells = [Cell::Null; WANTED_MAX];
                for (cell, column) in cells.iter_mut().zip(&columns) {
                    if let Some(column) = column {
                        *cell = column.cell(row);
                    }
                }
                taker.row(&cells)?;
            }
            rows_left -= rows;
            rows_done += rows;
            each_batch(taker, rows_done as f64 / rows_total.max(1) as f64);
        }
    }
    Ok(())
}

fn rows_of(rows: i64) -> usize {
    usize::try_from(rows).unwrap_or(0)
}

/// Where the wanted columns stand among the schema's top-level fields, and what their values are.
fn layout(
    described_as: &str,
    schema: &SchemaDescriptor,
    taker: &mut impl Taker,
) -> Result<(Positions, [Option<Kind>; WANTED_MAX]), Stop> {
    let fields = schema.root_schema().get_fields();
    let names = fields.iter().map(|field| field.name().to_owned()).collect();
    let header = Header { described_as, kind: header::Kind::Schema(names) };
    taker.columns(&header.kind);
    let wanted = taker.wanted();
    let positions = header.positions(wanted)?;
    let mut kinds = [None; WANTED_MAX];
    for ((kind, position), wanted) in kinds.iter_mut().zip(positions).zip(wanted) {
        let Some(field) = position.and_then(|position| fields.get(position)) else { continue };
        let nested =
            !field.is_primitive() || field.get_basic_info().repetition() == parquet::basic::Repetition::REPEATED;
        if wanted.role == Role::Any {
            *kind = if nested { None } else { Kind::of(field) };
            continue;
        }
        let refused = |what: &str| {
            Err(Stop::bad_data(format!(
                "{described_as}: column {:?} is {what}; {} takes {}. Write it so, or set {} to another column",
                field.name(),
                wanted.spec_field,
                Kind::expected(wanted.role),
                wanted.spec_field
            )))
        };
        if nested {
            return refused("nested (a list, map or struct)");
        }
        *kind = match Kind::of(field) {
            Some(kind) if kind.fits(wanted.role) => Some(kind),
            _ => return refused(&column::described(field)),
        };
    }
    Ok((positions, kinds))
}

/// The leaf that is this top-level field. Fields that are not nested have one leaf.
fn leaf_of(metadata: &ParquetMetaData, position: usize) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == position)
}

fn stop(described_as: &str, error: ParquetError) -> Stop {
    match error {
        // What the source itself said.
        ParquetError::External(cause) => match cause.downcast::<Stop>() {
            Ok(stop) => *stop,
            Err(cause) => damaged(described_as, &chain(cause.as_ref())),
        },
        ParquetError::NYI(what) => Stop::bad_data(format!(
            "{described_as} is Parquet of a kind that is not read ({what}). Write it with snappy or zstd"
        )),
        other => damaged(described_as, &chain(&other)),
    }
}

fn damaged(described_as: &str, what: &str) -> Stop {
    Stop::bad_data(format!("{described_as} is no Parquet file, or damaged ({what}). Write it again"))
}

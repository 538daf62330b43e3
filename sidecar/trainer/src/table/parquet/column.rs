//! One column of a row group: conversion of Parquet types to cells.

use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType, FixedLenByteArray, Int96},
    errors::ParquetError,
    schema::types::{ColumnDescriptor, Type},
};

use super::super::{Cell, Role};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const JULIAN_DAY_OF_1970: i64 = 2_440_588;
/// Bytes of the largest decimal number that fits into an `i128`.
const DECIMAL_BYTES_MAX: usize = 16;

/// Type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    /// 16 bytes, which are written as text with dashes.
    Uuid,
    Signed,
    Unsigned,
    Float,
    /// An integer divided by ten to this power.
    Decimal(u32),
    /// A timestamp with this many units per second.
    Timestamp(i64),
    /// Days since 1970.
    Date,
    Bool,
}

impl ColumnType {
    /// `None` for a type that no role accepts.
    pub(super) fn of(field: &Type) -> Option<Self> {
        let info = field.get_basic_info();
        let annotated = match info.logical_type_ref() {
            Some(logical) => match logical {
                LogicalType::String | LogicalType::Enum | LogicalType::Json => Some(Self::Text),
                LogicalType::Uuid => Some(Self::Uuid),
                LogicalType::Decimal(decimal) => Some(Self::Decimal(u32::try_from(decimal.scale).ok()?)),
                LogicalType::Date => Some(Self::Date),
                LogicalType::Timestamp(timestamp) => Some(Self::Timestamp(match timestamp.unit {
                    TimeUnit::MILLIS => 1_000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                })),
                LogicalType::Integer(integer) => Some(if integer.is_signed { Self::Signed } else { Self::Unsigned }),
                _ => return None,
            },
            None => match info.converted_type() {
                ConvertedType::NONE => None,
                ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Some(Self::Text),
                ConvertedType::DECIMAL => Some(Self::Decimal(u32::try_from(field.get_scale()).ok()?)),
                ConvertedType::DATE => Some(Self::Date),
                ConvertedType::TIMESTAMP_MILLIS => Some(Self::Timestamp(1_000)),
                ConvertedType::TIMESTAMP_MICROS => Some(Self::Timestamp(1_000_000)),
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => {
                    Some(Self::Unsigned)
                }
                ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64 => {
                    Some(Self::Signed)
                }
                _ => return None,
            },
        };
        Some(match (annotated, field.get_physical_type()) {
            (Some(column_type), _) => column_type,
            (None, Physical::BOOLEAN) => Self::Bool,
            (None, Physical::INT32 | Physical::INT64) => Self::Signed,
            // A Julian day and the nanoseconds of that day: the legacy timestamp type of Spark and
            // Impala.
            (None, Physical::INT96) => Self::Timestamp(1_000_000_000),
            (None, Physical::FLOAT | Physical::DOUBLE) => Self::Float,
            // Older writers do not annotate text.
            (None, Physical::BYTE_ARRAY) => Self::Text,
            (None, Physical::FIXED_LEN_BYTE_ARRAY) => return None,
        })
    }

    pub(super) fn fits(self, role: Role) -> bool {
        match role {
            Role::Id => matches!(self, Self::Text | Self::Uuid | Self::Signed | Self::Unsigned | Self::Decimal(0)),
            Role::Number => matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Float | Self::Decimal(_)),
            Role::Time => {
                matches!(
                    self,
                    Self::Text | Self::Signed | Self::Unsigned | Self::Float | Self::Timestamp(_) | Self::Date
                )
            }
            Role::Text => matches!(self, Self::Text | Self::Signed | Self::Unsigned),
            Role::Flag => matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Bool),
            Role::Any => true,
        }
    }

    pub(super) fn expected(role: Role) -> &'static str {
        match role {
            Role::Id => "text, a UUID or an integer",
            Role::Number => "a number",
            Role::Time => "a timestamp, a date, or seconds since 1970",
            Role::Text => "text",
            Role::Flag => "true and false, 1 and 0, or text",
            Role::Any => "any type",
        }
    }
}

/// A type in Parquet's terms.
pub(super) fn described(field: &Type) -> String {
    let info = field.get_basic_info();
    match info.logical_type_ref() {
        Some(logical) => format!("{} ({logical:?})", field.get_physical_type()),
        None => field.get_physical_type().to_string(),
    }
}

/// Values of one column, a batch at a time.
pub(super) trait Column {
    /// Replaces the batch with the next rows; fewer at the end of the column.
    fn read(&mut self, rows: usize) -> Result<usize, ParquetError>;
    /// The value of a row of the batch.
    fn cell(&self, row: usize) -> Cell<'_>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    column_type: ColumnType,
    level_max: i16,
    levels: Vec<i16>,
    values: Vec<T::T>,
    /// Index into `values` for each row; `None` for null.
    indices: Vec<Option<u32>>,
}

/// Conversion of a value to a cell.
trait ToCell {
    fn to_cell(&self, column_type: ColumnType) -> Cell<'_>;
}

/// Wraps a column reader.
pub(super) fn open(reader: ColumnReader, descriptor: &ColumnDescriptor, column_type: ColumnType) -> Box<dyn Column> {
    let level_max = descriptor.max_def_level();
    match reader {
        ColumnReader::BoolColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::Int32ColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::Int64ColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::Int96ColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::FloatColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::DoubleColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::ByteArrayColumnReader(reader) => typed(reader, level_max, column_type),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => typed(reader, level_max, column_type),
    }
}

fn typed<T: DataType>(reader: ColumnReaderImpl<T>, level_max: i16, column_type: ColumnType) -> Box<dyn Column>
where
    T::T: ToCell,
{
    Box::new(Typed { reader, column_type, level_max, levels: Vec::new(), values: Vec::new(), indices: Vec::new() })
}

impl<T: DataType> Column for Typed<T>
where
    T::T: ToCell,
{
    fn read(&mut self, rows: usize) -> Result<usize, ParquetError> {
        self.levels.clear();
        self.values.clear();
        self.indices.clear();
        let mut read = 0;
        while read < rows {
            let levels = (self.level_max > 0).then_some(&mut self.levels);
            let (records, _, _) = self.reader.read_records(rows - read, levels, None, &mut self.values)?;
            if records == 0 {
                break;
            }
            read += records;
        }
        if self.level_max == 0 {
            self.indices.extend((0..u32::try_from(read).unwrap_or(u32::MAX)).map(Some));
        } else {
            let mut next = 0;
            self.indices.extend(self.levels.iter().map(|level| {
                (*level == self.level_max).then(|| {
                    next += 1;
                    next - 1
                })
            }));
        }
        Ok(read)
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        let index = self.indices.get(row).copied().flatten();
        index
            .and_then(|index| self.values.get(index as usize))
            .map_or(Cell::Null, |value| value.to_cell(self.column_type))
    }
}

impl ToCell for bool {
    fn to_cell(&self, _: ColumnType) -> Cell<'_> {
        Cell::Bool(*self)
    }
}

impl ToCell for i32 {
    fn to_cell(&self, column_type: ColumnType) -> Cell<'_> {
        match column_type {
            ColumnType::Unsigned => Cell::Int(i128::from(self.cast_unsigned())),
            ColumnType::Date => Cell::Micros(i64::from(*self).saturating_mul(MICROS_PER_DAY)),
            _ => whole(i128::from(*self), column_type),
        }
    }
}

impl ToCell for i64 {
    fn to_cell(&self, column_type: ColumnType) -> Cell<'_> {
        match column_type {
            ColumnType::Unsigned => Cell::Int(i128::from(self.cast_unsigned())),
            // Rounded down, also before 1970.
            ColumnType::Timestamp(per_second) if per_second > 1_000_000 => {
                Cell::Micros(self.div_euclid(per_second / 1_000_000))
            }
            ColumnType::Timestamp(per_second) => {
                self.checked_mul(1_000_000 / per_second).map_or(Cell::Other, Cell::Micros)
            }
            _ => whole(i128::from(*self), column_type),
        }
    }
}

impl ToCell for Int96 {
    fn to_cell(&self, _: ColumnType) -> Cell<'_> {
        let [low, high, day] = match self.data() {
            [low, high, day] => [*low, *high, *day],
            _ => return Cell::Other,
        };
        let nanos = (i64::from(high) << 32) | i64::from(low);
        let days = i64::from(day) - JULIAN_DAY_OF_1970;
        days.checked_mul(MICROS_PER_DAY)
            .and_then(|micros| micros.checked_add(nanos.div_euclid(1000)))
            .map_or(Cell::Other, Cell::Micros)
    }
}

impl ToCell for f32 {
    fn to_cell(&self, _: ColumnType) -> Cell<'_> {
        Cell::Float(f64::from(*self))
    }
}

impl ToCell for f64 {
    fn to_cell(&self, _: ColumnType) -> Cell<'_> {
        Cell::Float(*self)
    }
}

impl ToCell for ByteArray {
    fn to_cell(&self, column_type: ColumnType) -> Cell<'_> {
        bytes(self.data(), column_type)
    }
}

impl ToCell for FixedLenByteArray {
    fn to_cell(&self, column_type: ColumnType) -> Cell<'_> {
        bytes(self.data(), column_type)
    }
}

fn bytes(data: &[u8], column_type: ColumnType) -> Cell<'_> {
    match column_type {
        ColumnType::Text => Cell::Text(data),
        ColumnType::Uuid => data.try_into().map_or(Cell::Other, |bytes| Cell::Uuid(u128::from_be_bytes(bytes))),
        // Big-endian two's complement.
        ColumnType::Decimal(_) if (1..=DECIMAL_BYTES_MAX).contains(&data.len()) => {
            let negative = data.first().is_some_and(|byte| *byte >= 0x80);
            let start = if negative { -1_i128 } else { 0 };
            whole(data.iter().fold(start, |number, byte| (number << 8) | i128::from(*byte)), column_type)
        }
        _ => Cell::Other,
    }
}

fn whole<'a>(number: i128, column_type: ColumnType) -> Cell<'a> {
    match column_type {
        ColumnType::Decimal(scale) if scale > 0 => {
            Cell::Float(number as f64 / 10_f64.powi(i32::try_from(scale).unwrap_or(i32::MAX)))
        }
        _ => Cell::Int(number),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn a_uuid_is_an_id() {
        let schema = parse_message_type("message m { required fixed_len_byte_array(16) u (UUID); }").unwrap();
        let field = Arc::clone(&schema.get_fields()[0]);
        let column_type = ColumnType::of(&field).unwrap();
        assert!(column_type.fits(Role::Id) && !column_type.fits(Role::Number));
        assert_eq!(bytes(&[0xff; 16], column_type), Cell::Uuid(u128::MAX));
        assert_eq!(bytes(&[0xff; 4], column_type), Cell::Other);
    }
}

//! One column of a row group: from Parquet's types to cells.

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
/// Bytes of the largest decimal number that fits our own.
const DECIMAL_BYTES_MAX: usize = 16;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Signed,
    Unsigned,
    Float,
    /// A whole number divided by ten to this power.
    Decimal(u32),
    /// In units of which this many are a second.
    Moment(i64),
    Days,
    Bool,
}

impl Kind {
    /// `None` for what no column is for.
    pub(super) fn of(field: &Type) -> Option<Self> {
        let info = field.get_basic_info();
        let annotated = match info.logical_type_ref() {
            Some(logical) => match logical {
                LogicalType::String | LogicalType::Enum | LogicalType::Json => Some(Self::Text),
                LogicalType::Decimal(decimal) => Some(Self::Decimal(u32::try_from(decimal.scale).ok()?)),
                LogicalType::Date => Some(Self::Days),
                LogicalType::Timestamp(timestamp) => Some(Self::Moment(match timestamp.unit {
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
                ConvertedType::DATE => Some(Self::Days),
                ConvertedType::TIMESTAMP_MILLIS => Some(Self::Moment(1_000)),
                ConvertedType::TIMESTAMP_MICROS => Some(Self::Moment(1_000_000)),
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
            (Some(kind), _) => kind,
            (None, Physical::BOOLEAN) => Self::Bool,
            (None, Physical::INT32 | Physical::INT64) => Self::Signed,
            // Nanoseconds of a day and a day, as Spark and Impala wrote moments for long.
            (None, Physical::INT96) => Self::Moment(1_000_000_000),
            (None, Physical::FLOAT | Physical::DOUBLE) => Self::Float,
            // Text without an annotation is what older writers wrote.
            (None, Physical::BYTE_ARRAY) => Self::Text,
            (None, Physical::FIXED_LEN_BYTE_ARRAY) => return None,
        })
    }

    pub(super) fn fits(self, role: Role) -> bool {
        match role {
            Role::Id => matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Decimal(0)),
            Role::Number => matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Float | Self::Decimal(_)),
            Role::Time => {
                matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Float | Self::Moment(_) | Self::Days)
            }
            Role::Text => matches!(self, Self::Text | Self::Signed | Self::Unsigned),
            Role::Flag => matches!(self, Self::Text | Self::Signed | Self::Unsigned | Self::Bool),
            Role::Any => true,
        }
    }

    pub(super) fn expected(role: Role) -> &'static str {
        match role {
            Role::Id => "text or a whole number",
            Role::Number => "a number",
            Role::Time => "a timestamp, a date, or seconds since 1970",
            Role::Text => "text",
            Role::Flag => "true and false, 1 and 0, or text",
            Role::Any => "anything",
        }
    }
}

/// A type in Parquet's own words.
pub(super) fn described(field: &Type) -> String {
    let info = field.get_basic_info();
    match info.logical_type_ref() {
        Some(logical) => format!("{} ({logical:?})", field.get_physical_type()),
        None => field.get_physical_type().to_string(),
    }
}

/// Values of one column, a batch at a time.
pub(super) trait Column {
    /// Reads the next rows over those before; fewer at the end of the column.
    fn read(&mut self, rows: usize) -> Result<usize, ParquetError>;
    /// The value of a row of the batch.
    fn cell(&self, row: usize) -> Cell<'_>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    kind: Kind,
    level_max: i16,
    levels: Vec<i16>,
    values: Vec<T::T>,
    /// Where the value of each row stands in `values`; `None` where it is null.
    places: Vec<Option<u32>>,
}

/// A value that becomes a cell.
trait ToCell {
    fn to_cell(&self, kind: Kind) -> Cell<'_>;
}

/// The column that this reader reads.
pub(super) fn open(reader: ColumnReader, descriptor: &ColumnDescriptor, kind: Kind) -> Box<dyn Column> {
    let level_max = descriptor.max_def_level();
    match reader {
        ColumnReader::BoolColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::Int32ColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::Int64ColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::Int96ColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::FloatColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::DoubleColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::ByteArrayColumnReader(reader) => typed(reader, level_max, kind),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => typed(reader, level_max, kind),
    }
}

fn typed<T: DataType>(reader: ColumnReaderImpl<T>, level_max: i16, kind: Kind) -> Box<dyn Column>
where
    T::T: ToCell,
{
    Box::new(Typed { reader, kind, level_max, levels: Vec::new(), values: Vec::new(), places: Vec::new() })
}

impl<T: DataType> Column for Typed<T>
where
    T::T: ToCell,
{
    fn read(&mut self, rows: usize) -> Result<usize, ParquetError> {
        self.levels.clear();
        self.values.clear();
        self.places.clear();
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
            self.places.extend((0..u32::try_from(read).unwrap_or(u32::MAX)).map(Some));
        } else {
            let mut next = 0;
            self.places.extend(self.levels.iter().map(|level| {
                (*level == self.level_max).then(|| {
                    next += 1;
                    next - 1
                })
            }));
        }
        Ok(read)
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        let place = self.places.get(row).copied().flatten();
        place.and_then(|place| self.values.get(place as usize)).map_or(Cell::Null, |value| value.to_cell(self.kind))
    }
}

impl ToCell for bool {
    fn to_cell(&self, _: Kind) -> Cell<'_> {
        Cell::Bool(*self)
    }
}

impl ToCell for i32 {
    fn to_cell(&self, kind: Kind) -> Cell<'_> {
        match kind {
            Kind::Unsigned => Cell::Int(i128::from(self.cast_unsigned())),
            Kind::Days => Cell::Micros(i64::from(*self).saturating_mul(MICROS_PER_DAY)),
            _ => whole(i128::from(*self), kind),
        }
    }
}

impl ToCell for i64 {
    fn to_cell(&self, kind: Kind) -> Cell<'_> {
        match kind {
            Kind::Unsigned => Cell::Int(i128::from(self.cast_unsigned())),
            // Rounded towards the past, as the calendar does.
            Kind::Moment(per_second) if per_second > 1_000_000 => Cell::Micros(self.div_euclid(per_second / 1_000_000)),
            Kind::Moment(per_second) => self.checked_mul(1_000_000 / per_second).map_or(Cell::Other, Cell::Micros),
            _ => whole(i128::from(*self), kind),
        }
    }
}

impl ToCell for Int96 {
    fn to_cell(&self, _: Kind) -> Cell<'_> {
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
    fn to_cell(&self, _: Kind) -> Cell<'_> {
        Cell::Float(f64::from(*self))
    }
}

impl ToCell for f64 {
    fn to_cell(&self, _: Kind) -> Cell<'_> {
        Cell::Float(*self)
    }
}

impl ToCell for ByteArray {
    fn to_cell(&self, kind: Kind) -> Cell<'_> {
        bytes(self.data(), kind)
    }
}

impl ToCell for FixedLenByteArray {
    fn to_cell(&self, kind: Kind) -> Cell<'_> {
        bytes(self.data(), kind)
    }
}

fn bytes(data: &[u8], kind: Kind) -> Cell<'_> {
    match kind {
        Kind::Text => Cell::Text(data),
        // Big-endian two's complement of any length.
        Kind::Decimal(_) if (1..=DECIMAL_BYTES_MAX).contains(&data.len()) => {
            let negative = data.first().is_some_and(|byte| *byte >= 0x80);
            let start = if negative { -1_i128 } else { 0 };
            whole(data.iter().fold(start, |number, byte| (number << 8) | i128::from(*byte)), kind)
        }
        _ => Cell::Other,
    }
}

fn whole<'a>(number: i128, kind: Kind) -> Cell<'a> {
    match kind {
        Kind::Decimal(scale) if scale > 0 => {
            Cell::Float(number as f64 / 10_f64.powi(i32::try_from(scale).unwrap_or(i32::MAX)))
        }
        _ => Cell::Int(number),
    }
}

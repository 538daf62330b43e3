//! Files of one column, written by the `parquet` crate or by hand.

use std::sync::Arc;

use bytes::Bytes;
use parquet::{
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    data_type::{ByteArray, ByteArrayType},
    file::{
        metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData},
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};
use sidecar_contract::Column;

use super::*;
use crate::{dropped::DropReason, table::ColumnRequest};

struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, start: u64, length: usize) -> Result<Bytes, RunError> {
        let start = usize::try_from(start).unwrap();
        Ok(Bytes::copy_from_slice(&self.0[start..start + length]))
    }
}

/// The texts of a column.
struct Texts(Vec<ColumnRequest>, Vec<Option<Vec<u8>>>);

impl RowSink for Texts {
    fn requests(&self) -> &[ColumnRequest] {
        &self.0
    }
    fn begin(&mut self, _: &str, _: [bool; COLUMNS_REQUESTED_MAX]) -> Result<(), RunError> {
        Ok(())
    }
    fn row(&mut self, cells: &[Cell<'_>; COLUMNS_REQUESTED_MAX]) -> Result<ControlFlow<()>, RunError> {
        self.1.push(match cells[0] {
            Cell::Text(text) => Some(text.to_vec()),
            _ => None,
        });
        Ok(ControlFlow::Continue(()))
    }
    fn bad(&mut self, _: DropReason, _: u64) {}
}

fn texts(file: Vec<u8>) -> Result<Vec<Option<Vec<u8>>>, String> {
    let request = ColumnRequest {
        column: Some(Column::Name("text".to_owned())),
        default_name: None,
        spec_field: "spec.data.columns.user",
        role: Role::Any,
    };
    let mut sink = Texts(vec![request], Vec::new());
    let read = read("it", Arc::new(Memory(file)), &mut sink, &|_, _| ());
    read.map(|_| sink.1).map_err(|error| error.to_string())
}

const CODECS: [fn() -> Compression; 7] = [
    || Compression::UNCOMPRESSED,
    || Compression::SNAPPY,
    || Compression::GZIP(GzipLevel::default()),
    || Compression::BROTLI(BrotliLevel::default()),
    || Compression::LZ4,
    || Compression::LZ4_RAW,
    || Compression::ZSTD(ZstdLevel::default()),
];

#[test]
fn every_codec_and_encoding_gives_the_written_values() {
    let values: Vec<Option<Vec<u8>>> = (0..9000_usize)
        .map(|row| (row % 7 != 3).then(|| format!("item{:05}{}", row / 4, "x".repeat(row % 50)).into_bytes()))
        .collect();
    for codec in CODECS {
        for encoding in
            [Encoding::PLAIN, Encoding::RLE_DICTIONARY, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
        {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let file = written(&values, codec(), encoding, version);
                assert!(texts(file).as_ref() == Ok(&values), "{:?} {encoding} {version:?}", codec());
            }
        }
    }
}

fn written(values: &[Option<Vec<u8>>], codec: Compression, encoding: Encoding, version: WriterVersion) -> Vec<u8> {
    let schema = parse_message_type("message m { optional binary text (STRING); }").unwrap();
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_writer_version(version)
        .set_data_page_row_count_limit(2000)
        .set_dictionary_enabled(encoding == Encoding::RLE_DICTIONARY);
    let properties = match encoding {
        Encoding::RLE_DICTIONARY => properties,
        encoding => properties.set_encoding(encoding),
    };
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let present: Vec<ByteArray> = values.iter().flatten().map(|text| text.clone().into()).collect();
    let levels: Vec<i16> = values.iter().map(|text| i16::from(text.is_some())).collect();
    column.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    file
}

/// A number in groups of seven bits.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// 32-bit fields of a struct in Thrift's compact protocol, with numbers from 1.
fn fields(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| [vec![0x15], varint(number << 1)].concat()).collect()
}

/// A page: its type, declared size and content, the number of the field of its own header, and the
/// fields of that.
fn page(page_type: u64, declared: usize, content: &[u8], field: u8, own: &[u64]) -> Vec<u8> {
    let sizes = fields(&[page_type, declared as u64, content.len() as u64]);
    [sizes, vec![(field - 3) << 4 | 0x0c], fields(own), vec![0, 0], content.to_vec()].concat()
}

const DELTA_LENGTH_BYTE_ARRAY: u64 = 6;
const DELTA_BYTE_ARRAY: u64 = 7;

fn data_page(values: u64, encoding: u64, content: &[u8]) -> Vec<u8> {
    page(0, content.len(), content, 5, &[values, encoding, 3, 3])
}

fn dictionary_page(values: u64, content: &[u8]) -> Vec<u8> {
    page(2, content.len(), content, 7, &[values, 0])
}

/// A file of these pages and one row group with this many rows.
fn file(rows: i64, codec: Compression, pages: &[u8]) -> Vec<u8> {
    let schema = parse_message_type("message m { required binary text (STRING); }").unwrap();
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(schema)));
    let size = i64::try_from(pages.len()).unwrap();
    let chunk = ColumnChunkMetaData::builder(schema.column(0))
        .set_compression(codec)
        .set_encodings(vec![Encoding::PLAIN])
        .set_num_values(rows)
        .set_data_page_offset(4)
        .set_total_compressed_size(size)
        .set_total_uncompressed_size(size)
        .build()
        .unwrap();
    let group = RowGroupMetaData::builder(schema.clone())
        .set_num_rows(rows)
        .set_total_byte_size(size)
        .set_column_metadata(vec![chunk])
        .build()
        .unwrap();
    let metadata = ParquetMetaData::new(FileMetaData::new(1, rows, None, None, schema, None), vec![group]);
    let mut file = [MAGIC, pages].concat();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish().unwrap();
    file.append(&mut footer);
    file
}

/// The error of a damaged file.
fn error(rows: i64, codec: Compression, pages: &[u8]) -> String {
    let error = texts(file(rows, codec, pages)).unwrap_err();
    assert!(error.contains("it is damaged"), "{error}");
    error
}

/// `DELTA_BINARY_PACKED` lengths that are all equal.
fn equal_lengths(count: u64, length: u64) -> Vec<u8> {
    let header = [varint(128), varint(4), varint(count), varint(length << 1)].concat();
    let blocks = usize::try_from(count.saturating_sub(1).div_ceil(128)).unwrap();
    [header, vec![0; blocks * 5]].concat()
}

#[test]
fn pages_written_by_hand_are_read() {
    let plain = [3, 0, 0, 0, b'a', b'b', b'c', 1, 0, 0, 0, b'd'];
    let expected = Ok(vec![Some(b"abc".to_vec()), Some(b"d".to_vec())]);
    assert_eq!(texts(file(2, Compression::UNCOMPRESSED, &data_page(2, 0, &plain))), expected);
    let lengths = [equal_lengths(2, 2), b"abcd".to_vec()].concat();
    let expected = Ok(vec![Some(b"ab".to_vec()), Some(b"cd".to_vec())]);
    let pages = data_page(2, DELTA_LENGTH_BYTE_ARRAY, &lengths);
    assert_eq!(texts(file(2, Compression::UNCOMPRESSED, &pages)), expected);
    let indexes = [1, 3, 0b10];
    let pages = [dictionary_page(2, &[1, 0, 0, 0, b'a', 1, 0, 0, 0, b'b']), data_page(2, 8, &indexes)].concat();
    let expected = Ok(vec![Some(b"a".to_vec()), Some(b"b".to_vec())]);
    assert_eq!(texts(file(2, Compression::UNCOMPRESSED, &pages)), expected);
}

#[test]
fn dictionary_that_declares_more_values_than_it_has_is_damaged() {
    let pages = [dictionary_page(i32::MAX as u64, &[0; 64]), data_page(1, 8, &[1, 3, 0])].concat();
    assert!(error(1, Compression::UNCOMPRESSED, &pages).contains("dictionary"));
}

#[test]
fn page_with_more_lengths_than_values_is_damaged() {
    let lengths = [varint(128), varint(4), varint(1 << 40), varint(0), vec![0; 64]].concat();
    for encoding in [DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY] {
        let pages = data_page(1, encoding, &lengths);
        assert!(error(1, Compression::UNCOMPRESSED, &pages).contains("more lengths than values"));
    }
    // The lengths of the rests of the values.
    let pages = data_page(1, DELTA_BYTE_ARRAY, &[equal_lengths(1, 0), lengths].concat());
    assert!(error(1, Compression::UNCOMPRESSED, &pages).contains("more lengths than values"));
}

#[test]
fn values_that_repeat_a_long_one_are_limited() {
    // 4096 values that begin with a mebibyte of the value before. The lengths are checked before the
    // values, so the first value need not have so many.
    let content = [equal_lengths(4096, 1 << 20), equal_lengths(4096, 0)].concat();
    let pages = data_page(4096, DELTA_BYTE_ARRAY, &content);
    assert!(error(4096, Compression::UNCOMPRESSED, &pages).contains("values share more than"));
}

#[test]
fn declared_sizes_are_compared_with_the_column() {
    for codec in CODECS.iter().skip(1) {
        let pages = page(0, i32::MAX as usize, &[0; 100], 5, &[1, 0, 3, 3]);
        assert!(error(1, codec(), &pages).contains("more bytes than its column has"), "{:?}", codec());
    }
    // 100 bytes of snappy or lz4 do not have so many.
    for codec in [Compression::SNAPPY, Compression::LZ4, Compression::LZ4_RAW] {
        let pages = page(0, 30_000, &[0; 100], 5, &[1, 0, 3, 3]);
        assert!(error(1, codec, &pages).contains("more bytes than its column has"), "{codec:?}");
    }
}

#[test]
fn pages_do_not_decompress_beyond_their_declared_size() {
    // 64 MiB of zeros for a declared size of 8 bytes.
    let zeros = vec![0; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &zeros).unwrap();
    let pages = page(0, 8, &gzip.finish().unwrap(), 5, &[1, 0, 3, 3]);
    assert!(error(1, Compression::GZIP(GzipLevel::default()), &pages).contains("its declared size"));
    let mut brotli = Vec::new();
    std::io::Write::write_all(&mut brotli::CompressorWriter::new(&mut brotli, 4096, 1, 22), &zeros).unwrap();
    let pages = page(0, 8, &brotli, 5, &[1, 0, 3, 3]);
    assert!(error(1, Compression::BROTLI(BrotliLevel::default()), &pages).contains("its declared size"));
}

#[test]
fn unsupported_codec_is_named() {
    let error = texts(file(1, Compression::LZO, &data_page(1, 0, &[0; 4]))).unwrap_err();
    assert!(error.contains("LZO") && error.contains("snappy or zstd"), "{error}");
}

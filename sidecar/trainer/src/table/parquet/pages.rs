//! Pages of a column of a row group, whose declared sizes are checked before they are decoded.
//!
//! The decoders allocate what a page declares, and gzip and brotli decompress to the end whatever a
//! page declares. A failed allocation ends the process, so a damaged or hostile file must be
//! rejected before:
//!
//! | declared | allowed |
//! |---|---|
//! | decompressed size | that of the column in the footer, with a tolerance |
//! | … with a codec that zero-fills it | what so many compressed bytes can have |
//! | entries of a dictionary | those that fit into the page |
//! | lengths of byte arrays | the values of the page |
//! | bytes that values share with the values before them | [`PARQUET_SHARED_BYTES_MAX`] in a batch |

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, Type as Physical},
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::ColumnChunkMetaData,
        properties::ReaderProperties,
        reader::{ChunkReader, Length, SerializedPageReader},
    },
    schema::types::ColumnDescPtr,
};

use super::{
    BATCH_ROWS,
    blocks::{BlockReader, Blocks},
    delta_lengths,
};
use crate::limits::{
    PARQUET_COLUMN_BYTES_MAX, PARQUET_PAGE_BYTES_TOLERATED, PARQUET_PAGE_VALUES_MAX, PARQUET_SHARED_BYTES_MAX,
};

/// Maximum number of bytes that lz4 decompresses one byte to; snappy has fewer.
const EXPANSION_MAX: u64 = 255;
/// First bytes of a page's header that are kept: they contain its sizes.
const HEADER_BYTES: usize = 32;
/// Type of a 32-bit field in Thrift's compact protocol.
const THRIFT_I32: u8 = 5;
/// Number of the field with the decompressed size in a page's header.
const UNCOMPRESSED_SIZE_FIELD: u8 = 2;
/// Buffer of the brotli decompressor in bytes.
const BROTLI_BUFFER_BYTES: usize = 64 << 10;

/// A codec whose decompressor in the `parquet` crate has no limit.
#[derive(Clone, Copy)]
enum Unlimited {
    Gzip,
    Brotli,
}

/// Opens the pages of a column.
pub(super) fn open(blocks: &Blocks, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Box<dyn PageReader>> {
    let unlimited = match chunk.compression() {
        Compression::GZIP(_) => Some(Unlimited::Gzip),
        Compression::BROTLI(_) => Some(Unlimited::Brotli),
        _ => None,
    };
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let compressed_max = size(chunk.compressed_size());
    let source = Arc::new(PageSource {
        blocks: blocks.clone(),
        compression: chunk.compression(),
        bytes_max: size(chunk.uncompressed_size()).max(compressed_max).max(PARQUET_PAGE_BYTES_TOLERATED),
        header: Arc::default(),
    });
    let stored = match unlimited {
        None => chunk.clone(),
        Some(_) => chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?,
    };
    let properties = ReaderProperties::builder().set_backward_compatible_lz4(true).build();
    let reader = SerializedPageReader::new_with_properties(source.clone(), &stored, rows, None, Arc::new(properties))?;
    Ok(Box::new(Pages { reader, source, unlimited, column: chunk.column_descr_ptr(), shared: SharedBytes::default() }))
}

/// The bytes of the pages. Checks a page's declared size between its header and its content.
struct PageSource {
    blocks: Blocks,
    compression: Compression,
    /// Maximum decompressed size of a page.
    bytes_max: u64,
    /// First bytes of the header that was read last.
    header: Arc<Mutex<Vec<u8>>>,
}

/// Reads a page's header and keeps its first bytes.
struct HeaderReader {
    reader: BlockReader,
    header: Arc<Mutex<Vec<u8>>>,
}

impl PageSource {
    /// Decompressed size in the header that was read last.
    fn declared(&self) -> Result<u64> {
        let header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        uncompressed_size(&header).ok_or_else(|| damaged("a page has no size"))
    }
}

impl Length for PageSource {
    fn len(&self) -> u64 {
        self.blocks.len()
    }
}

impl ChunkReader for PageSource {
    type T = HeaderReader;

    fn get_read(&self, start: u64) -> Result<HeaderReader> {
        self.header.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(HeaderReader { reader: self.blocks.get_read(start)?, header: self.header.clone() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let zero_fills = matches!(self.compression, Compression::SNAPPY | Compression::LZ4 | Compression::LZ4_RAW);
        let possible = if zero_fills { EXPANSION_MAX.saturating_mul(length as u64) } else { u64::MAX };
        if self.compression != Compression::UNCOMPRESSED && self.declared()? > self.bytes_max.min(possible) {
            return Err(damaged("a page declares more bytes than its column has"));
        }
        // Old writers have frames, whose size nothing declares.
        if self.compression == Compression::LZ4 && possible > PARQUET_COLUMN_BYTES_MAX {
            return Err(damaged("a page with the deprecated codec LZ4 has more than 8 MB; write LZ4_RAW or zstd"));
        }
        self.blocks.get_bytes(start, length)
    }
}

impl Read for HeaderReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(into)?;
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = HEADER_BYTES.saturating_sub(header.len());
        header.extend(into.iter().take(length.min(missing)));
        Ok(length)
    }
}

/// The decompressed size in a page's header: a struct that begins with 32-bit fields.
fn uncompressed_size(header: &[u8]) -> Option<u64> {
    let mut bytes = header.iter();
    let mut field = 0_u8;
    loop {
        let head = bytes.next()?;
        // The number of a field is relative to the last one.
        let (step, kind) = (head >> 4, head & 0x0f);
        if step == 0 || kind != THRIFT_I32 {
            return None;
        }
        field = field.checked_add(step)?;
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if field == UNCOMPRESSED_SIZE_FIELD {
            // Zigzag: odd numbers are negative.
            return (number & 1 == 0).then_some(number >> 1);
        }
    }
}

/// The pages, decompressed and checked.
struct Pages {
    reader: SerializedPageReader<PageSource>,
    source: Arc<PageSource>,
    unlimited: Option<Unlimited>,
    column: ColumnDescPtr,
    shared: SharedBytes,
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.reader.get_next_page()? else { return Ok(None) };
        if let Some(codec) = self.unlimited {
            decompress(&mut page, codec, self.source.declared()?)?;
        }
        self.check(&page)?;
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.reader.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.reader.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl Pages {
    fn check(&mut self, page: &Page) -> Result<()> {
        let values = page.num_values() as usize;
        if let Page::DictionaryPage { buf, .. } = page {
            let fitting = entries_max(self.column.physical_type(), self.column.type_length(), buf.len());
            if values > fitting.min(PARQUET_PAGE_VALUES_MAX) {
                return Err(damaged("a dictionary declares more values than it has"));
            }
            return Ok(());
        }
        if !matches!(page.encoding(), Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) {
            return Ok(());
        }
        let count_max = values.min(PARQUET_PAGE_VALUES_MAX);
        let lengths =
            |data| delta_lengths::read(data, count_max).ok_or_else(|| damaged("a page has more lengths than values"));
        let data = encoded_values(page, self.column.max_def_level() > 0);
        let (first, rest) = lengths(data.ok_or_else(|| damaged("a page ends within its levels"))?)?;
        if page.encoding() == Encoding::DELTA_BYTE_ARRAY {
            lengths(rest)?;
            self.shared.add(&first)?;
        }
        Ok(())
    }
}

/// Bytes that values share with the values before them, of the last values of a column. The decoder
/// copies them for each value of a batch.
#[derive(Default)]
struct SharedBytes {
    values: usize,
    bytes: u64,
}

impl SharedBytes {
    /// Adds the values of a page. Each batch is in two neighbouring groups of as many values.
    fn add(&mut self, prefixes: &[i32]) -> Result<()> {
        for prefix in prefixes {
            if self.values == BATCH_ROWS {
                *self = Self::default();
            }
            self.values += 1;
            self.bytes += u64::try_from(*prefix).unwrap_or(0);
            if self.bytes > PARQUET_SHARED_BYTES_MAX / 2 {
                return Err(ParquetError::General(format!(
                    "values share more than {} bytes with the values before them in {BATCH_ROWS} rows",
                    PARQUET_SHARED_BYTES_MAX / 2
                )));
            }
        }
        Ok(())
    }
}

/// Maximum number of values of this type in so many bytes.
fn entries_max(physical: Physical, type_length: i32, bytes: usize) -> usize {
    match physical {
        Physical::BOOLEAN => bytes.saturating_mul(8),
        // A byte array has its length.
        Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => bytes / 4,
        Physical::INT64 | Physical::DOUBLE => bytes / 8,
        Physical::INT96 => bytes / 12,
        Physical::FIXED_LEN_BYTE_ARRAY => bytes / usize::try_from(type_length).unwrap_or(0).max(1),
    }
}

/// The values of a data page, without its definition levels. Only fields that are not nested are
/// read, so there are no repetition levels, and a level is one bit.
fn encoded_values(page: &Page, has_levels: bool) -> Option<&[u8]> {
    match page {
        Page::DataPage { buf, .. } if !has_levels => Some(buf),
        Page::DataPage { buf, def_level_encoding: Encoding::RLE, .. } => {
            let (length, rest) = buf.split_first_chunk()?;
            rest.get(usize::try_from(u32::from_le_bytes(*length)).ok()?..)
        }
        Page::DataPage { buf, num_values, .. } => buf.get(num_values.div_ceil(8) as usize..),
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            buf.get(def_levels_byte_len.checked_add(*rep_levels_byte_len)? as usize..)
        }
        Page::DictionaryPage { buf, .. } => Some(buf),
    }
}

/// Replaces the bytes of a page by the decompressed ones, which must have the declared size.
fn decompress(page: &mut Page, codec: Unlimited, declared: u64) -> Result<()> {
    let (buf, levels) = match page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
        Page::DataPageV2 { is_compressed: false, .. } => return Ok(()),
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            (buf, def_levels_byte_len.saturating_add(*rep_levels_byte_len) as usize)
        }
    };
    let (levels, compressed) = buf.split_at_checked(levels).ok_or_else(|| damaged("a page ends within its levels"))?;
    let mut whole = levels.to_vec();
    let size = declared.checked_sub(levels.len() as u64).ok_or_else(|| damaged("a page has no size"))?;
    // A page without values may have no compressed bytes.
    if size > 0 {
        let limit = size.saturating_add(1);
        match codec {
            Unlimited::Gzip => flate2::bufread::MultiGzDecoder::new(compressed).take(limit).read_to_end(&mut whole)?,
            Unlimited::Brotli => {
                brotli::Decompressor::new(compressed, BROTLI_BUFFER_BYTES).take(limit).read_to_end(&mut whole)?
            }
        };
    }
    if whole.len() as u64 != declared {
        return Err(damaged("a page does not have its declared size"));
    }
    *buf = whole.into();
    Ok(())
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

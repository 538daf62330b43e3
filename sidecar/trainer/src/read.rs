//! Reads every file of a source, decompresses and decodes it, and passes the rows to a sink. Blocks
//! the current thread.

use std::{
    cell::Cell,
    io::{self, Read},
    ops::ControlFlow,
    rc::Rc,
};

use sidecar_contract::{Csv, Format};

use crate::{
    failure::RunError,
    gzip,
    limits::{CHUNK_BYTES, ZSTD_WINDOW_LOG_MAX},
    source::{Part, Source, Stat},
    table::{
        RowSink,
        delimited::Delimited,
        encoding::check_encoding,
        format::{Compression, MAGIC_BYTES, compression, delimiter, named},
        jsonl::Jsonl,
        parquet,
        records::Quotes,
    },
};

/// Format settings of a table in the resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableFormat<'a> {
    pub(crate) format: Option<Format>,
    pub(crate) csv: &'a Csv,
    /// `spec.data` or `spec.data.items`.
    pub(crate) spec_field: &'static str,
}

impl TableFormat<'_> {
    /// Checks everything that needs no data.
    pub(crate) fn check(&self) -> Result<(), RunError> {
        delimiter(self.csv, b',', self.spec_field).map(|_| ())
    }
}

/// Reads all parts in order until the sink breaks. `progress` periodically receives the number of
/// bytes read.
pub(crate) fn read_all<T: RowSink>(
    source: &Source,
    stat: &Stat,
    table_format: TableFormat<'_>,
    sink: &mut T,
    progress: &dyn Fn(&T, u64),
) -> Result<ControlFlow<()>, RunError> {
    let mut bytes_before = 0;
    for part in &stat.parts {
        let progress = |sink: &T, bytes: u64| progress(sink, bytes_before + bytes);
        if read_part(source, part, table_format, sink, &progress)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        bytes_before += part.size_bytes;
    }
    Ok(ControlFlow::Continue(()))
}

fn read_part<T: RowSink>(
    source: &Source,
    part: &Part,
    table_format: TableFormat<'_>,
    sink: &mut T,
    progress: &dyn Fn(&T, u64),
) -> Result<ControlFlow<()>, RunError> {
    let described_as = part.described_as.as_str();
    let named = named(table_format.format, &part.name, described_as)?;
    if named.format == Format::Parquet {
        let file = source.open_at(part)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a byte count")]
        let each_batch = |sink: &T, fraction: f64| progress(sink, (fraction * part.size_bytes as f64) as u64);
        return parquet::read(described_as, file, sink, &each_batch);
    }
    let bytes = Rc::new(Cell::new(0));
    let mut raw = Counted { reader: source.open(part)?, bytes: bytes.clone() };
    let failed = |error: io::Error| run_error(error, described_as);
    let first = first_bytes(&mut raw).map_err(failed)?;
    let compression = compression(named, &first, described_as, table_format.spec_field)?;
    let raw = io::Cursor::new(first).chain(raw);
    let mut reader: Box<dyn Read> = match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(gzip::Members::new(raw)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(raw).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            Box::new(decoder)
        }
    };
    let delimited = |format_default, quotes| -> Result<_, RunError> {
        let delimiter = delimiter(table_format.csv, format_default, table_format.spec_field)?;
        Ok(Text::Delimited(Box::new(Delimited::new(described_as, table_format.csv, delimiter, quotes))))
    };
    let mut text = match named.format {
        Format::Csv => delimited(b',', Quotes::Enclosing(None))?,
        // Tab-separated text has no quotes: a quote begins a title as often as it encloses one. R
        // and some others enclose the names in the header, too.
        Format::Tsv => delimited(b'\t', Quotes::AsInFirstRecord)?,
        Format::Jsonl | Format::Parquet => Text::Jsonl(Box::new(Jsonl::new(described_as))),
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_first = true;
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        let read = chunk.get(..read).unwrap_or_default();
        if std::mem::take(&mut is_first) {
            check_encoding(read, described_as)?;
        }
        if text.feed(read, sink)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        progress(sink, bytes.get());
    }
    text.finish(sink)
}

enum Text<'a> {
    Delimited(Box<Delimited<'a>>),
    Jsonl(Box<Jsonl<'a>>),
}

impl Text<'_> {
    fn feed(&mut self, chunk: &[u8], sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        match self {
            Self::Delimited(delimited) => delimited.feed(chunk, sink),
            Self::Jsonl(jsonl) => jsonl.feed(chunk, sink),
        }
    }

    fn finish(&mut self, sink: &mut dyn RowSink) -> Result<ControlFlow<()>, RunError> {
        match self {
            Self::Delimited(delimited) => delimited.finish(sink),
            Self::Jsonl(jsonl) => jsonl.finish(sink),
        }
    }
}

/// The first [`MAGIC_BYTES`] bytes, or the whole file if it is shorter.
fn first_bytes(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(MAGIC_BYTES);
    reader.take(MAGIC_BYTES as u64).read_to_end(&mut first)?;
    Ok(first)
}

/// Unwraps an error of the source; any other error was raised by the decompressor because of its
/// input.
fn run_error(error: io::Error, described_as: &str) -> RunError {
    match error.downcast::<RunError>() {
        Ok(error) => error,
        Err(error) => {
            RunError::bad_data(format!("{described_as} is damaged or truncated ({error}). Compress it again"))
        }
    }
}

/// Counts the bytes that are read.
struct Counted<R> {
    reader: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

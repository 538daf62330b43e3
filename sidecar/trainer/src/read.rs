//! Every file of a source through its compression and its format to a taker of rows. Blocks the thread that it runs on.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use flate2::read::MultiGzDecoder;
use sidecar_contract::{Csv, Format};

use crate::{
    failure::Stop,
    limits::{CHUNK_BYTES, ZSTD_WINDOW_LOG_MAX},
    source::{Part, Source, Stat},
    table::{
        Taker,
        delimited::Delimited,
        format::{Compression, MAGIC_BYTES, compression, delimiter, named},
        jsonl::Jsonl,
        parquet,
    },
};

/// What the resource says of a table's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'a> {
    pub(crate) format: Option<Format>,
    pub(crate) csv: &'a Csv,
    /// `spec.data` or `spec.data.items`.
    pub(crate) spec_field: &'static str,
}

impl Form<'_> {
    /// What can be found wrong before anything is read.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        delimiter(self.csv, b',', self.spec_field).map(|_| ())
    }
}

/// Reads all parts in their order; `progress` hears now and then how many bytes of the source were read.
pub(crate) fn read_all<T: Taker>(
    source: &Source,
    stat: &Stat,
    form: Form<'_>,
    taker: &mut T,
    progress: &dyn Fn(&T, u64),
) -> Result<(), Stop> {
    let mut bytes_before = 0;
    for part in &stat.parts {
        let progress = |taker: &T, bytes: u64| progress(taker, bytes_before + bytes);
        read_part(source, part, form, taker, &progress)?;
        bytes_before += part.size_bytes;
    }
    Ok(())
}

fn read_part<T: Taker>(
    source: &Source,
    part: &Part,
    form: Form<'_>,
    taker: &mut T,
    progress: &dyn Fn(&T, u64),
) -> Result<(), Stop> {
    let described_as = part.described_as.as_str();
    let named = named(form.format, &part.name, described_as)?;
    if named.format == Format::Parquet {
        let file = source.open_at(part)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of bytes")]
        let each_batch = |taker: &T, share: f64| progress(taker, (share * part.size_bytes as f64) as u64);
        return parquet::read(described_as, file, taker, &each_batch);
    }
    let bytes = Rc::new(Cell::new(0));
    let mut raw = Counted { reader: source.open(part)?, bytes: bytes.clone() };
    let failed = |error: io::Error| stop(error, described_as);
    let first = first_bytes(&mut raw).map_err(failed)?;
    let compression = compression(named, &first, described_as, form.spec_field)?;
    let raw = io::Cursor::new(first).chain(raw);
    let mut reader: Box<dyn Read> = match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(MultiGzDecoder::new(raw)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(raw).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            Box::new(decoder)
        }
    };
    let delimited = |by_format| -> Result<_, Stop> {
        let delimiter = delimiter(form.csv, by_format, form.spec_field)?;
        Ok(Text::Delimited(Box::new(Delimited::new(described_as, form.csv, delimiter))))
    };
    let mut text = match named.format {
        Format::Csv => delimited(b',')?,
        Format::Tsv => delimited(b'\t')?,
        Format::Jsonl | Format::Parquet => Text::Jsonl(Box::new(Jsonl::new(described_as))),
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        text.feed(chunk.get(..read).unwrap_or_default(), taker)?;
        progress(taker, bytes.get());
    }
    text.finish(taker)
}

enum Text<'a> {
    Delimited(Box<Delimited<'a>>),
    Jsonl(Box<Jsonl<'a>>),
}

impl Text<'_> {
    fn feed(&mut self, chunk: &[u8], taker: &mut dyn Taker) -> Result<(), Stop> {
        match self {
            Self::Delimited(delimited) => delimited.feed(chunk, taker),
            Self::Jsonl(jsonl) => jsonl.feed(chunk, taker),
        }
    }

    fn finish(&mut self, taker: &mut dyn Taker) -> Result<(), Stop> {
        match self {
            Self::Delimited(delimited) => delimited.finish(taker),
            Self::Jsonl(jsonl) => jsonl.finish(taker),
        }
    }
}

/// As many bytes as it takes to see what a file is; fewer if it has fewer.
fn first_bytes(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(MAGIC_BYTES);
    reader.take(MAGIC_BYTES as u64).read_to_end(&mut first)?;
    Ok(first)
}

/// An error of the source is what it says; all others are the decompressor's, about what it was given.
fn stop(error: io::Error, described_as: &str) -> Stop {
    match error.downcast::<Stop>() {
        Ok(stop) => stop,
        Err(error) => Stop::bad_data(format!("{described_as} is damaged or cut short ({error}). Compress it again")),
    }
}

/// Counts what goes through.
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

//! Format and compression of a file: determined from its name, the resource and its first bytes.

use sidecar_contract::{Csv, Format};

use super::parquet;
use crate::failure::{FailureReason, RunError};

/// Compression of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Bytes at the start of a file that identify its type.
pub(crate) const MAGIC_BYTES: usize = 6;
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Unsupported compressions.
const UNSUPPORTED: [(&[u8], &str); 3] = [(b"PK\x03\x04", "zip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh91A", "bzip2")];
/// File extensions of unsupported compressions.
const UNSUPPORTED_EXTENSIONS: [&str; 6] = ["bz2", "xz", "zip", "lz4", "7z", "lzo"];

/// Unsupported formats by file extension, with the export to read instead.
const UNSUPPORTED_FORMATS: [(&[&str], &str); 5] = [
    (&["xlsx", "xls", "xlsm", "ods", "numbers"], "a spreadsheet: save it as CSV UTF-8"),
    (&["avro", "orc", "feather", "arrow"], "in a format that is not supported: convert it to Parquet"),
    (&["tar", "tgz"], "an archive: extract its files"),
    (&["sqlite", "sqlite3", "db"], "a database: export the table as CSV"),
    (
        &["pkl", "pickle", "npy", "npz", "h5", "hdf5", "rds", "rdata", "sav", "mat"],
        "a file of one program: export it as CSV or Parquet",
    ),
];

/// Format and compression according to a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
}

/// Format and compression of a file before it is opened. `format` is the resource's setting and
/// takes precedence.
pub(crate) fn named(format: Option<Format>, name: &str, described_as: &str) -> Result<Named, RunError> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let split = |name: &'_ str| name.rsplit_once('.').map(|(stem, ending)| (stem.to_owned(), ending.to_owned()));
    let (stem, compression) = match split(&name) {
        Some((stem, ending)) if ending == "gz" || ending == "gzip" => (stem, Compression::Gzip),
        Some((stem, ending)) if ending == "zst" || ending == "zstd" => (stem, Compression::Zstd),
        Some((_, ending)) if UNSUPPORTED_EXTENSIONS.contains(&ending.as_str()) => {
            return Err(unsupported(described_as, &ending));
        }
        _ => (name, Compression::None),
    };
    let ending = split(&stem).map(|(_, ending)| ending).unwrap_or_default();
    if format.is_none()
        && let Some((_, what)) = UNSUPPORTED_FORMATS.iter().find(|(endings, _)| endings.contains(&ending.as_str()))
    {
        return Err(RunError::bad_data(format!("{described_as} is {what}, and read that")));
    }
    let guessed = match ending.as_str() {
        "tsv" | "tab" => Format::Tsv,
        // Spark writes JSON Lines with the extension .json.
        "jsonl" | "ndjson" | "json" => Format::Jsonl,
        "parquet" | "parq" | "pq" => Format::Parquet,
        _ => Format::Csv,
    };
    let format = format.unwrap_or(guessed);
    if format == Format::Parquet && compression != Compression::None {
        return Err(RunError::bad_data(format!(
            "{described_as} is Parquet inside {}: Parquet compresses its columns itself; use the uncompressed file",
            compression.as_str()
        )));
    }
    Ok(Named { format, compression })
}

/// The format according to a file's name; `None` if it is not supported.
pub fn format_of(name: &str) -> Option<Format> {
    named(None, name, name).ok().map(|named| named.format)
}

/// The compression according to the first bytes of a file.
pub(crate) fn compression(
    named: Named,
    first: &[u8],
    described_as: &str,
    spec_field: &str,
) -> Result<Compression, RunError> {
    let found = if first.starts_with(GZIP) {
        Compression::Gzip
    } else if first.starts_with(ZSTD) {
        Compression::Zstd
    } else if first.starts_with(parquet::MAGIC) {
        return Err(RunError::bad_data(format!(
            "{described_as} is a Parquet file: set {spec_field}.format: parquet, or name it *.parquet"
        )));
    } else if let Some((_, what)) = UNSUPPORTED.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(unsupported(described_as, what));
    } else {
        Compression::None
    };
    // An empty file is valid under any name.
    if found == Compression::None && named.compression != Compression::None && !first.is_empty() {
        return Err(RunError::bad_data(format!(
            "{described_as} is named as {} but its first bytes do not match: it is damaged or not compressed; compress it, or \
             rename it",
            named.compression.as_str()
        )));
    }
    Ok(found)
}

impl Compression {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "not compressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The field separator of delimited text. `spec_field` is `spec.data` or `spec.data.items`.
pub(crate) fn delimiter(csv: &Csv, format_default: u8, spec_field: &str) -> Result<u8, RunError> {
    match csv.delimiter {
        None => Ok(format_default),
        Some(delimiter) => match u8::try_from(delimiter) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(byte),
            _ => Err(RunError::permanent(
                FailureReason::ConfigInvalid,
                format!(
                    "{spec_field}.csv.delimiter is {delimiter:?}: expected one ASCII character other than a quote or a line break"
                ),
            )),
        },
    }
}

fn unsupported(described_as: &str, what: &str) -> RunError {
    RunError::bad_data(format!(
        "{described_as} is compressed as {what}, which is not supported: use gzip (.gz) or zstd (.zst)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, format: Option<Format>) -> Result<(Format, Compression), String> {
        named(format, name, "the source").map(|n| (n.format, n.compression)).map_err(|error| error.to_string())
    }

    #[test]
    fn format_of_the_resource_overrides_the_file_name() {
        use Compression::{Gzip, None as Plain, Zstd};
        assert_eq!(check("/a/ratings.csv", None), Ok((Format::Csv, Plain)));
        assert_eq!(check("/a.parquet/ratings", None), Ok((Format::Csv, Plain)));
        assert_eq!(check("b/RATINGS.TSV", None), Ok((Format::Tsv, Plain)));
        assert_eq!(check("b/ratings.csv", Some(Format::Tsv)), Ok((Format::Tsv, Plain)));
        assert_eq!(check("part-0000-1b.c000.json.gz", None), Ok((Format::Jsonl, Gzip)));
        assert_eq!(check("x.ndjson.zst", None), Ok((Format::Jsonl, Zstd)));
        assert_eq!(check("x.gz", Some(Format::Jsonl)), Ok((Format::Jsonl, Gzip)));
        assert_eq!(check("part-0000.snappy.parquet", None), Ok((Format::Parquet, Plain)));
        assert!(check("x.csv.bz2", None).unwrap_err().contains("use gzip (.gz) or zstd (.zst)"));
        assert!(check("x.parquet.gz", None).unwrap_err().contains("Parquet inside gzip"));
        assert!(check("Orders.xlsx", None).unwrap_err().contains("a spreadsheet: save it as CSV UTF-8"));
        assert!(check("part-0.avro", None).unwrap_err().contains("convert it to Parquet"));
        assert!(check("visits.tar.gz", None).unwrap_err().contains("an archive: extract its files"));
        assert_eq!(check("visits.db", Some(Format::Csv)), Ok((Format::Csv, Plain)));
    }

    #[test]
    fn compression_comes_from_the_first_bytes_and_must_match_the_name() {
        let check = |name: &str, first: &[u8]| {
            let named = named(None, name, "it").unwrap();
            compression(named, first, "it", "spec.data").map_err(|error| error.to_string())
        };
        assert_eq!(check("x.csv", b"\x1f\x8b\x08"), Ok(Compression::Gzip));
        assert_eq!(check("x.csv.gz", b"\x28\xb5\x2f\xfd"), Ok(Compression::Zstd));
        assert_eq!(check("x.csv", b"user_i"), Ok(Compression::None));
        assert_eq!(check("x.csv.gz", b""), Ok(Compression::None));
        assert!(check("x.csv.gz", b"user_i").unwrap_err().contains("named as gzip"));
        assert!(check("x.csv", b"PAR1\x15").unwrap_err().contains("spec.data.format: parquet"));
        assert!(check("x.csv", b"PK\x03\x04ab").unwrap_err().contains("zip"));
    }

    #[test]
    fn delimiter_is_one_ascii_character() {
        let check = |given| delimiter(&Csv { header: true, delimiter: given }, b',', "spec.data");
        assert_eq!(check(None).unwrap(), b',');
        assert_eq!(check(Some(';')).unwrap(), b';');
        for bad in ['"', '\n', '→'] {
            assert!(check(Some(bad)).unwrap_err().to_string().contains("spec.data.csv.delimiter"));
        }
    }
}

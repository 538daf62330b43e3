//! Which format a file is in and how it is compressed: by its name, by what the resource says, and by its first bytes.

use sidecar_contract::{Csv, Format};

use super::parquet;
use crate::failure::{FailureReason, Stop};

/// Ways to compress a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Bytes at the start of a file that say what it is.
pub(crate) const MAGIC_BYTES: usize = 6;
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Others, which are not read.
const OTHERS: [(&[u8], &str); 3] = [(b"PK\x03\x04", "zip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh91A", "bzip2")];
/// Endings of these.
const OTHER_ENDINGS: [&str; 6] = ["bz2", "xz", "zip", "lz4", "7z", "lzo"];

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
}

/// What to think of a file before it is opened. `format` is what the resource says, if it does.
pub(crate) fn named(format: Option<Format>, name: &str, described_as: &str) -> Result<Named, Stop> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let split = |name: &'_ str| name.rsplit_once('.').map(|(stem, ending)| (stem.to_owned(), ending.to_owned()));
    let (stem, compression) = match split(&name) {
        Some((stem, ending)) if ending == "gz" || ending == "gzip" => (stem, Compression::Gzip),
        Some((stem, ending)) if ending == "zst" || ending == "zstd" => (stem, Compression::Zstd),
        Some((_, ending)) if OTHER_ENDINGS.contains(&ending.as_str()) => return Err(other(described_as, &ending)),
        _ => (name, Compression::None),
    };
    let guessed = match split(&stem).as_ref().map(|(_, ending)| ending.as_str()) {
        Some("tsv" | "tab") => Format::Tsv,
        // Spark calls its JSON lines .json.
        Some("jsonl" | "ndjson" | "json") => Format::Jsonl,
        Some("parquet" | "parq" | "pq") => Format::Parquet,
        _ => Format::Csv,
    };
    let format = format.unwrap_or(guessed);
    if format == Format::Parquet && compression != Compression::None {
        return Err(Stop::bad_data(format!(
            "{described_as} is Parquet inside {}: Parquet compresses its columns itself; use the file as it was before",
            compression.as_str()
        )));
    }
    Ok(Named { format, compression })
}

/// The format that a file's name says; `None` for one that is not read.
pub fn format_of(name: &str) -> Option<Format> {
    named(None, name, name).ok().map(|named| named.format)
}

/// What the first bytes of a file say of its compression.
pub(crate) fn compression(
    named: Named,
    first: &[u8],
    described_as: &str,
    spec_field: &str,
) -> Result<Compression, Stop> {
    let found = if first.starts_with(GZIP) {
        Compression::Gzip
    } else if first.starts_with(ZSTD) {
        Compression::Zstd
    } else if first.starts_with(parquet::MAGIC) {
        return Err(Stop::bad_data(format!(
            "{described_as} is a Parquet file: set {spec_field}.format: parquet, or name it *.parquet"
        )));
    } else if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(other(described_as, what));
    } else {
        Compression::None
    };
    // An empty file is empty whatever its name says.
    if found == Compression::None && named.compression != Compression::None && !first.is_empty() {
        return Err(Stop::bad_data(format!(
            "{described_as} is named as {} and does not begin so: it is damaged, or not compressed; compress it, or rename it",
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

/// What separates the fields of delimited text. `spec_field` is `spec.data` or `spec.data.items`.
pub(crate) fn delimiter(csv: &Csv, by_format: u8, spec_field: &str) -> Result<u8, Stop> {
    match csv.delimiter {
        None => Ok(by_format),
        Some(delimiter) => match u8::try_from(delimiter) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(byte),
            _ => Err(Stop::failed(
                FailureReason::ConfigInvalid,
                format!(
                    "{spec_field}.csv.delimiter is {delimiter:?}: expected one ASCII character that is no quote or line end"
                ),
            )),
        },
    }
}

fn other(described_as: &str, what: &str) -> Stop {
    Stop::bad_data(format!("{described_as} is compressed as {what}, which is not read: use gzip (.gz) or zstd (.zst)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, format: Option<Format>) -> Result<(Format, Compression), String> {
        named(format, name, "the source").map(|n| (n.format, n.compression)).map_err(|stop| stop.to_string())
    }

    #[test]
    fn the_name_says_the_format_unless_the_resource_does() {
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
    }

    #[test]
    fn the_first_bytes_say_the_compression_and_a_name_must_not_contradict() {
        let check = |name: &str, first: &[u8]| {
            let named = named(None, name, "it").unwrap();
            compression(named, first, "it", "spec.data").map_err(|stop| stop.to_string())
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
    fn a_delimiter_is_one_ascii_character() {
        let check = |given| delimiter(&Csv { header: true, delimiter: given }, b',', "spec.data");
        assert_eq!(check(None).unwrap(), b',');
        assert_eq!(check(Some(';')).unwrap(), b';');
        for bad in ['"', '\n', '→'] {
            assert!(check(Some(bad)).unwrap_err().to_string().contains("spec.data.csv.delimiter"));
        }
    }
}

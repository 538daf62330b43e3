//! Which format a source is in, and what separates its fields.

use sidecar_contract::{Csv, Format};

use crate::failure::{FailureReason, Stop};

/// Endings of compressed files, which are not read in this version.
const COMPRESSED: [&str; 6] = ["gz", "zst", "bz2", "xz", "zip", "lz4"];

/// The delimiter of a source, or why it is not read. `spec_field` is `spec.data` or `spec.data.items`.
pub(crate) fn delimiter(
    format: Option<Format>,
    csv: &Csv,
    url: &str,
    described_as: &str,
    spec_field: &str,
) -> Result<u8, Stop> {
    let not_supported = |what: &str| {
        Err(Stop::bad_data(format!(
            "{described_as} is {what}, which is not supported in this version: write it as csv or tsv, and set \
             {spec_field}.format if the name does not say which"
        )))
    };
    if url.ends_with('/') {
        return not_supported("a prefix of many objects");
    }
    let extension = url.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, e)| e.to_ascii_lowercase());
    let extension = extension.as_deref().unwrap_or_default();
    if COMPRESSED.contains(&extension) {
        return not_supported("compressed");
    }
    let guessed = match extension {
        "tsv" | "tab" => Format::Tsv,
        "jsonl" | "ndjson" => Format::Jsonl,
        "parquet" => Format::Parquet,
        _ => Format::Csv,
    };
    let by_format = match format.unwrap_or(guessed) {
        Format::Csv => b',',
        Format::Tsv => b'\t',
        Format::Jsonl => return not_supported("jsonl"),
        Format::Parquet => return not_supported("parquet"),
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, format: Option<Format>, delimiter_char: Option<char>) -> Result<char, String> {
        let csv = Csv { header: true, delimiter: delimiter_char };
        delimiter(format, &csv, url, "the source", "spec.data").map(char::from).map_err(|stop| stop.to_string())
    }

    #[test]
    fn the_name_the_format_and_the_delimiter_decide_in_this_order() {
        assert_eq!(check("file:///a/ratings.csv", None, None), Ok(','));
        assert_eq!(check("file:///a/ratings", None, None), Ok(','));
        assert_eq!(check("s3://b/RATINGS.TSV", None, None), Ok('\t'));
        assert_eq!(check("s3://b/ratings.csv", Some(Format::Tsv), None), Ok('\t'));
        assert_eq!(check("s3://b/ratings.csv", None, Some(';')), Ok(';'));
    }

    #[test]
    fn what_is_not_read_yet_says_so() {
        for (url, format) in [
            ("s3://b/ratings/", None),
            ("s3://b/ratings.parquet", None),
            ("s3://b/ratings.jsonl", None),
            ("s3://b/ratings.csv.gz", None),
            ("s3://b/ratings.csv", Some(Format::Jsonl)),
            ("s3://b/ratings.csv", Some(Format::Parquet)),
        ] {
            let message = check(url, format, None).unwrap_err();
            assert!(message.contains("not supported in this version"), "{message}");
        }
        for bad in ['"', '\n', '→'] {
            assert!(check("s3://b/ratings.csv", None, Some(bad)).unwrap_err().contains("spec.data.csv.delimiter"));
        }
    }
}

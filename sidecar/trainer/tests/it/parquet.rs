//! Parquet files that pyarrow and Spark wrote.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use sidecar_contract::{Column, Digest, ExitCode, TrainingConfig};

use crate::{
    python::python,
    setup::{Numbers, Setup, grouped_visits},
};

fn digest_of(setup: &Setup) -> Digest {
    let (result, _) = setup.trained();
    assert!(result.rows.dropped.is_empty(), "{:?}", result.rows);
    setup.digest()
}

/// A source that is this file or directory.
fn of(path: &Path) -> Setup {
    let mut setup = Setup::new("unused", "");
    setup.config.source.url = format!("file://{}", path.display());
    setup
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Numeric user ids, integer ratings and timestamps at midnight, so that every type can represent
/// them.
fn rows() -> String {
    let mut numbers = Numbers(11);
    let mut text = "user_id,item_id,rating,timestamp\n".to_owned();
    for (user, item) in grouped_visits() {
        let user: u32 = user.trim_start_matches("user").parse().unwrap();
        let (rating, day) = (1 + numbers.below(5), 15_000 + numbers.below(3000));
        writeln!(text, "{user},{item},{rating},{}", day * 86_400).unwrap();
    }
    text
}

#[test]
fn all_pyarrow_encodings_and_types_give_the_same_snapshot() {
    let plain = Setup::new("rows.csv", rows());
    let expected = digest_of(&plain);
    let directory = plain.directory.path().join("parquet");
    std::fs::create_dir(&directory).unwrap();
    python("parquet.py", &[plain.source().as_os_str(), directory.as_os_str()]);
    let same = files(&directory.join("same"));
    assert!(same.len() > 50, "{}", same.len());
    for file in same {
        assert_eq!(digest_of(&of(&file)), expected, "{}", file.display());
    }
    check_column_numbers(&directory.join("same"), &expected);
    check_invalid_types(&directory.join("bad"));
    check_nulls(&directory.join("nulls.parquet"));
    check_damaged_files(&directory.join("same/snappy-dictionary-v1.0.parquet"));
}

/// Columns by number, for each compression.
fn check_column_numbers(directory: &Path, expected: &Digest) {
    for compression in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"] {
        let mut setup = of(&directory.join(format!("{compression}-plain-v2.0.parquet")));
        setup.config.columns.user = Column::Index(1);
        setup.config.columns.item = Column::Index(3);
        setup.config.columns.rating = Some(Column::Index(4));
        setup.config.columns.timestamp = Some(Column::Index(5));
        assert_eq!(digest_of(&setup), *expected, "{compression}");
    }
}

fn check_invalid_types(directory: &Path) {
    let expected: &[(&str, &[&str])] = &[
        ("all-users-null", &["no row of", "emptyUser"]),
        ("no-rows", &["no rows"]),
        ("rating-bool", &["column \"rating\" is BOOLEAN", "expects a number"]),
        ("rating-time", &["column \"rating\" is INT64 (Timestamp"]),
        ("time-bool", &["column \"timestamp\" is BOOLEAN", "expects a timestamp"]),
        ("user-bool", &["column \"user_id\" is BOOLEAN"]),
        ("user-decimal-2", &["column \"user_id\" is", "(Decimal"]),
        ("user-float", &["column \"user_id\" is DOUBLE", "text, a UUID or an integer", "spec.data.columns.user"]),
        ("user-list", &["column \"user_id\" is nested"]),
        ("user-missing", &["no column \"user_id\"", "\"item_id\"", "spec.data.columns.user"]),
        ("user-struct", &["column \"user_id\" is nested"]),
    ];
    let files = files(directory);
    assert_eq!(files.len(), expected.len());
    for (file, (name, words)) in files.iter().zip(expected) {
        assert_eq!(file.file_stem().unwrap(), *name);
        let message = of(file).failed(ExitCode::BadData, "DataInvalid");
        assert!(words.iter().all(|word| message.contains(word)), "{name}: {message}");
    }
}

fn check_nulls(file: &Path) {
    let (result, _) = of(file).trained();
    let dropped: Vec<_> = result.rows.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    let expected = [
        ("badTimestamp", 2),
        ("emptyItem", 10),
        ("emptyUser", 10),
        ("notANumber", 5),
        ("notFinite", 3),
        ("notUtf8", 5),
    ];
    assert_eq!(dropped, expected);
    // Five of the forty additional rows are valid.
    assert_eq!(
        (result.rows.read, result.rows.kept),
        (grouped_visits().len() as u64 + 40, grouped_visits().len() as u64 + 5)
    );
}

/// A truncated file fails. A file with a flipped bit fails or is read; it never crashes the
/// process.
fn check_damaged_files(file: &Path) {
    let whole = std::fs::read(file).unwrap();
    for length in [1, 4, 8, 12, whole.len() / 2, whole.len() - 1] {
        let message = Setup::new("a.parquet", &whole[..length]).failed(ExitCode::BadData, "DataInvalid");
        assert!(message.contains("not a Parquet file, or it is damaged"), "{message}");
    }
    let mut numbers = Numbers(3);
    for _ in 0..60 {
        let mut flipped = whole.clone();
        let at = usize::try_from(numbers.below(whole.len() as u64)).unwrap();
        flipped[at] ^= 1 << numbers.below(8);
        let finished = Setup::new("a.parquet", &flipped).run();
        assert!(
            matches!(finished.exit, ExitCode::Done | ExitCode::BadData),
            "byte {at}: {:?} {}",
            finished.exit,
            finished.termination_message.message
        );
    }
    Setup::new("a.parquet", "user_id,item_id\na,1\n").failed(ExitCode::BadData, "DataInvalid");
}

/// The rows of `tests/spark.py`, computed with the same formulas.
fn spark_rows() -> String {
    let mut text = "user_id,item_id,rating,timestamp\n".to_owned();
    for n in 0_u64..600 {
        let timestamp = 1_700_000_000 + 3600 * n;
        writeln!(text, "user{:02},{},{},{timestamp}", n * 7 % 97, n * n % 23, n % 5 + 1).unwrap();
    }
    text
}

#[test]
fn spark_output_gives_the_same_snapshot() {
    let expected = digest_of(&Setup::new("rows.csv", spark_rows()));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/spark");
    let found = files(&directory);
    assert_eq!(found.len(), 8);
    for path in found {
        let mut setup = of(&path);
        if path.ends_with("csv-tabs-no-header") {
            without_header(&mut setup.config);
        }
        assert_eq!(digest_of(&setup), expected, "{}", path.display());
    }
}

fn without_header(config: &mut TrainingConfig) {
    config.csv.header = false;
    config.csv.delimiter = Some('\t');
    config.columns.user = Column::Index(0);
    config.columns.item = Column::Index(1);
    config.columns.rating = Some(Column::Index(2));
    config.columns.timestamp = Some(Column::Index(3));
}

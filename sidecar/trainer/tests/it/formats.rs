//! The same interactions as JSON Lines, compressed, or in many files give the same snapshot.
//! Invalid rows are counted, and invalid files fail with a message.

use std::io::Write as _;

use sidecar_contract::{Column, Csv, Digest, ExitCode, Format, Items, Source, TrainingConfig};

use crate::setup::{Setup, csv, grouped_visits};

fn digest(name: &str, content: impl AsRef<[u8]>, change: impl Fn(&mut TrainingConfig)) -> Digest {
    let mut setup = Setup::new(name, content);
    change(&mut setup.config);
    setup.digest()
}

fn expected() -> Digest {
    digest("a.csv", csv(&grouped_visits()), |_| ())
}

fn jsonl(visits: &[(String, String)]) -> String {
    visits.iter().map(|(user, item)| format!("{{\"user_id\": \"{user}\", \"item_id\": \"{item}\"}}\n")).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    // The zstd command line does this by default.
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The source fails as invalid data, and the message contains these words.
fn bad(name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    bad_setup(&Setup::new(name, content), words);
}

fn bad_setup(setup: &Setup, words: &[&str]) {
    let message = setup.failed(ExitCode::BadData, "DataInvalid");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn jsonl_gives_the_same_snapshot() {
    let visits = grouped_visits();
    let (expected, plain) = (expected(), jsonl(&visits));
    let same = |name: &str, content: &str, change: &dyn Fn(&mut TrainingConfig)| {
        assert_eq!(digest(name, content, change), expected, "{}", &content[..60]);
    };
    let unchanged = |_: &mut TrainingConfig| ();
    same("a.jsonl", &plain, &unchanged);
    same("a.json", &plain, &unchanged);
    same("a.ndjson", plain.trim_end(), &unchanged);
    same("a.txt", &plain, &|config| config.format = Some(Format::Jsonl));
    same("a.jsonl", &format!("\u{feff}{}", plain.replace('\n', "\r\n\r\n")), &unchanged);
    same(
        "a.jsonl",
        &plain.replace("\"user_id\"", "\"other\": {\"user_id\": [1, null]}, \"us\\u0065r_id\""),
        &unchanged,
    );
    same("a.jsonl", &plain.replace("item_id", "thing.id"), &|config| {
        config.columns.item = Column::Name("thing.id".to_owned());
    });
    same("a.jsonl", &plain.replace("\"}", "\", \"rating\": 1.0}"), &unchanged);
    same("a.jsonl", &plain.replace("\"}", "\", \"rating\": \"1\"}"), &unchanged);
    same("a.jsonl", &plain.replace("\"user_id\":", "\"user_id\": \"not me\", \"user_id\":"), &unchanged);
}

#[test]
fn json_numbers_are_ids_in_decimal_digits() {
    let numbered = |text: &dyn Fn(u64) -> String| {
        let rows = grouped_visits().into_iter().map(|(user, item)| {
            let number = |text: &str| text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap();
            // Above 2^53, where neighbouring integers have the same floating-point value.
            format!("{{\"user_id\": {}, \"item_id\": {}}}\n", text(u64::MAX - number(&user)), text(number(&item)))
        });
        rows.collect::<String>()
    };
    let (numbers, strings) = (numbered(&|n| n.to_string()), numbered(&|n| format!("\"{n}\"")));
    assert_eq!(digest("a.jsonl", numbers, |_| ()), digest("a.jsonl", strings, |_| ()));
}

#[test]
fn invalid_objects_are_dropped_and_counted() {
    let mut text = String::new();
    for user in 0..40 {
        text.push_str(&format!(
            "{{\"user_id\": \"u{user}\", \"item_id\": {}, \"rating\": 1, \"timestamp\": {user}}}\n",
            user % 4
        ));
    }
    let rest = "\"item_id\": 1, \"rating\": 1, \"timestamp\": 1}\n";
    for user in ["null", "\"\"", "1.5", "18446744073709551616", "1e3", "[\"u\"]", "{\"id\": 1}", "true"] {
        text.push_str(&format!("{{\"user_id\": {user}, {rest}"));
    }
    text.push_str(&format!("{{{rest}"));
    for line in [
        "not json",
        "{\"user_id\": \"u\"",
        "[1, 2]",
        "{\"user_id\": \"u\"} {}",
        "{\"user_id\": NaN, \"item_id\": 1, \"rating\": 1, \"timestamp\": 1}",
        "{\"user_id\": \"u\", \"item_id\": 1, \"rating\": null, \"timestamp\": 1}",
        "{\"user_id\": \"u\", \"item_id\": 1, \"timestamp\": 1}",
        "{\"user_id\": \"u\", \"item_id\": 1, \"rating\": 1e39, \"timestamp\": 1}",
        "{\"user_id\": \"u\", \"item_id\": 1, \"rating\": 1, \"timestamp\": 1e300}",
        "{\"user_id\": \"u\", \"item_id\": 1, \"rating\": true, \"timestamp\": 1}",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!("{{\"user_id\": {}1{}, {rest}", "[".repeat(200), "]".repeat(200)));
    text.push_str(&format!("{{\"user_id\": \"{}\", {rest}", "x".repeat(2000)));
    text.push_str(&format!("{{\"user_id\": \"{}\", {rest}", "x".repeat(70_000)));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"{\"user_id\": \"\xff\", \"item_id\": 1, \"rating\": 1, \"timestamp\": 1}\n");
    let (result, _) = Setup::new("a.jsonl", bytes).trained();
    let dropped: Vec<_> = result.rows.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    let expected = [
        ("badTimestamp", 1),
        ("emptyUser", 3),
        ("idTooLong", 1),
        ("notANumber", 2),
        ("notFinite", 1),
        ("notJson", 5),
        ("notUtf8", 1),
        ("rowTooLong", 1),
        ("wrongType", 8),
    ];
    assert_eq!(dropped, expected);
    assert_eq!((result.rows.read, result.rows.kept), (63, 40));
}

#[test]
fn invalid_jsonl_fails() {
    bad("a.jsonl", "", &["is empty"]);
    bad("a.jsonl", "\n\n", &["is empty"]);
    bad("a.jsonl", "[{\"user_id\": 1, \"item_id\": 1}]\n", &["JSON array", "one object per line"]);
    bad("a.jsonl", "user_id,item_id\n1,1\n", &["no row", "2 notJson"]);
    bad("a.jsonl", "{\"uid\": 1, \"item_id\": 1}\n", &["no key \"user_id\"", "\"uid\", \"item_id\"", "columns.user"]);
    let mut setup = Setup::new("a.jsonl", "{\"user_id\": 1, \"item_id\": 1}\n");
    setup.config.columns.user = Column::Index(0);
    bad_setup(&setup, &["not numbered columns", "\"user_id\", \"item_id\"", "spec.data.columns.user"]);
}

#[test]
fn compressed_text_gives_the_same_snapshot() {
    let (expected, visits) = (expected(), grouped_visits());
    let (table, lines) = (csv(&visits), jsonl(&visits));
    let (half, rest) = table.as_bytes().split_at(table.len() / 2);
    for (name, content) in [
        ("a.csv.gz", gzip(table.as_bytes())),
        ("a.csv", gzip(table.as_bytes())),
        ("a.CSV.GZ", [gzip(half), gzip(rest)].concat()),
        ("a.csv.zst", zstd(table.as_bytes())),
        ("a", zstd(table.as_bytes())),
        ("a.csv.zst", [zstd(half), zstd(rest)].concat()),
        ("a.tsv.gz", gzip(table.replace(',', "\t").as_bytes())),
        ("a.jsonl.gz", gzip(lines.as_bytes())),
        ("a.json.zst", zstd(lines.as_bytes())),
    ] {
        assert_eq!(digest(name, content, |_| ()), expected, "{name}");
    }
}

/// How the columns of a table are found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ColumnForm {
    DefaultNames,
    Names,
    Numbers,
    NumbersWithoutHeader,
}

/// The visits in a text format, and the configuration that it needs.
fn written(visits: &[(String, String)], format: Format, form: ColumnForm) -> (String, impl Fn(&mut TrainingConfig)) {
    let columns = match (form, format) {
        (ColumnForm::DefaultNames, _) => [Column::Name("user_id".to_owned()), Column::Name("item_id".to_owned())],
        (ColumnForm::Names, Format::Jsonl) => ["visit.by", "visit.of"].map(|name| Column::Name(name.to_owned())),
        (ColumnForm::Names, _) => ["Käufer", "the item"].map(|name| Column::Name(name.to_owned())),
        (ColumnForm::Numbers | ColumnForm::NumbersWithoutHeader, _) => [Column::Index(1), Column::Index(2)],
    };
    let separator = if format == Format::Tsv { '\t' } else { ',' };
    let name = |column: &Column| match column {
        Column::Name(name) => name.clone(),
        Column::Index(_) => "n".to_owned(),
    };
    let [user, item] = columns.each_ref().map(name);
    let mut text = String::new();
    if format != Format::Jsonl && form != ColumnForm::NumbersWithoutHeader {
        text.push_str(&format!("note{separator}{user}{separator}{item}\n"));
    }
    for (by, of) in visits {
        text.push_str(&match (format, form) {
            (Format::Jsonl, ColumnForm::Names) => format!("{{\"visit\":{{\"by\":\"{by}\",\"of\":\"{of}\"}}}}\n"),
            (Format::Jsonl, _) => format!("{{\"{user}\":\"{by}\",\"{item}\":\"{of}\"}}\n"),
            _ => format!("x{separator}{by}{separator}{of}\n"),
        });
    }
    let change = move |config: &mut TrainingConfig| {
        [config.columns.user, config.columns.item] = columns.clone();
        config.csv.header = form != ColumnForm::NumbersWithoutHeader;
    };
    (text, change)
}

#[test]
fn every_format_compression_and_column_form_gives_one_model_from_command_line_and_job() {
    use ColumnForm::{DefaultNames, Names, Numbers, NumbersWithoutHeader};
    let (expected, visits) = (expected(), grouped_visits());
    for (format, name, forms) in [
        (Format::Csv, "a.csv", &[DefaultNames, Names, Numbers, NumbersWithoutHeader][..]),
        (Format::Tsv, "a.tsv", &[DefaultNames, Names, Numbers, NumbersWithoutHeader]),
        (Format::Jsonl, "a.jsonl", &[DefaultNames, Names]),
    ] {
        for form in forms {
            let (text, change) = written(&visits, format, *form);
            let (half, rest) = text.as_bytes().split_at(text.len() / 2);
            for (ending, content) in [
                ("", text.as_bytes().to_vec()),
                (".gz", gzip(text.as_bytes())),
                (".gz", [gzip(half), gzip(rest), vec![0; 512]].concat()),
                (".zst", zstd(text.as_bytes())),
                (".zst", [zstd(half), zstd(rest)].concat()),
            ] {
                // `Setup::digest` compares the two.
                assert_eq!(digest(&format!("{name}{ending}"), content, &change), expected, "{name}{ending} {form:?}");
            }
        }
    }
}

#[test]
fn damaged_and_unsupported_compression_fails() {
    let table = csv(&grouped_visits());
    for (name, whole) in [("a.csv.gz", gzip(table.as_bytes())), ("a.csv.zst", zstd(table.as_bytes()))] {
        bad(name, &whole[..whole.len() / 2], &["damaged or truncated", "again"]);
        bad(name, &whole[..whole.len() - 1], &["damaged or truncated"]);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x55;
        Setup::new(name, flipped).failed(ExitCode::BadData, "DataInvalid");
        bad(name, [whole.as_slice(), b"garbage"].concat(), &["damaged or truncated"]);
        bad(name, &table, &["first bytes do not match"]);
        bad(name, "", &["is empty"]);
    }
    bad("a.csv.bz2", "BZh91AY&SY", &["bz2", "use gzip"]);
    bad("a.csv", b"PK\x03\x04 and so on", &["zip", "use gzip"]);
    bad("a.csv", b"PAR1 and so on", &["spec.data.format: parquet"]);
}

/// 24 MB in one row, 24 KB compressed: it is streamed, and never in memory as a whole.
#[test]
fn decompression_bomb_is_read_as_one_oversized_row() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(csv(&grouped_visits()).as_bytes()).unwrap();
    let megabyte = vec![b'x'; 1 << 20];
    for _ in 0..24 {
        encoder.write_all(&megabyte).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 16, "{}", bomb.len());
    let (result, _) = Setup::new("a.csv.gz", bomb).trained();
    assert_eq!(result.rows.dropped.iter().collect::<Vec<_>>(), [(&"rowTooLong".to_owned(), &1)]);
}

/// A directory with these files as the source.
fn directory(files: &[(&str, Vec<u8>)]) -> Setup {
    let mut setup = Setup::new("unused", "");
    let directory = setup.directory.path().join("visits");
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    setup.config.source.url = format!("file://{}/", directory.display());
    setup
}

#[test]
fn directory_is_read_as_its_data_files() {
    let (expected, visits) = (expected(), grouped_visits());
    let thirds: Vec<_> = visits.chunks(visits.len() / 3 + 1).collect();
    let table = |part: usize| csv(thirds[part]).into_bytes();
    let files = |extra: &[(&'static str, Vec<u8>)]| {
        let mut files = vec![
            ("day=1/part-0000.csv", table(0)),
            ("day=2/part-0000.csv.gz", gzip(&table(1))),
            ("day=2/part-0001.jsonl", jsonl(thirds[2]).into_bytes()),
        ];
        files.extend_from_slice(extra);
        directory(&files)
    };
    assert_eq!(files(&[]).digest(), expected);
    let noise = [
        ("_SUCCESS", b"x".to_vec()),
        (".part-0000.csv.crc", b"crc".to_vec()),
        ("_temporary/0/part-0000.csv", table(0)),
        ("empty.csv", Vec::new()),
    ];
    let (plain, with_noise) = (files(&[]), files(&noise));
    assert_eq!(with_noise.digest(), expected);
    // Modification times are part of a file's version, so a directory can only be compared with
    // itself.
    let version = |setup: &Setup| {
        let mut again = setup.config.clone();
        again.run.number += 1;
        again.run.attempt = format!("{:010x}", rand_number(setup));
        let again = Setup { directory: tempfile::tempdir().unwrap(), config: again, options: setup.options.clone() };
        again.run().result.unwrap().data_version
    };
    let before = version(&plain);
    std::fs::write(plain.directory.path().join("visits/_SUCCESS"), "").unwrap();
    assert_eq!(version(&plain), before);
    std::fs::write(plain.directory.path().join("visits/one-more.csv"), table(0)).unwrap();
    assert_ne!(version(&plain), before);
    std::fs::remove_file(plain.directory.path().join("visits/one-more.csv")).unwrap();
    assert_eq!(version(&plain), before);
    std::fs::write(plain.directory.path().join("visits/day=1/part-0000.csv"), table(1)).unwrap();
    assert_ne!(version(&plain), before);
}

#[test]
fn a_directory_that_links_to_itself_fails_as_one_that_is_too_deep_does() {
    let looped = directory(&[("part-0000.csv", csv(&grouped_visits()).into_bytes())]);
    std::os::unix::fs::symlink(".", looped.directory.path().join("visits/loop")).unwrap();
    let fails = |setup: &Setup, words: &[&str]| {
        let message = setup.failed(ExitCode::BadData, "DataInvalid");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    fails(&looped, &["loop/loop", "16 directories deep", "link"]);
    let deep = format!("{}part-0000.csv", "a/".repeat(17));
    let deep = directory(&[(&deep, csv(&grouped_visits()).into_bytes())]);
    fails(&deep, &["16 directories deep", "Move its files up"]);
    let allowed = format!("{}part-0000.csv", "a/".repeat(16));
    assert_eq!(directory(&[(&allowed, csv(&grouped_visits()).into_bytes())]).digest(), expected());
}

/// Attempts must differ: a run with an equal attempt is already committed.
fn rand_number(setup: &Setup) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(setup.directory.path()) & 0xff_ffff_ffff
}

#[test]
fn files_of_a_directory_must_agree() {
    let with_time = b"user_id,item_id,timestamp\na,1,1\n".to_vec();
    let without = b"user_id,item_id\na,1\n".to_vec();
    bad_setup(
        &directory(&[("a.csv", with_time.clone()), ("b.csv", without.clone())]),
        &["b.csv", "has no column \"timestamp\"", "spec.data.columns.timestamp"],
    );
    bad_setup(
        &directory(&[("a.csv", without.clone()), ("b.csv", with_time)]),
        &["b.csv", "has a column \"timestamp\""],
    );
    bad_setup(
        &directory(&[("a.csv", without.clone()), ("b.csv", b"x,y\n1,2\n".to_vec())]),
        &["b.csv", "no column \"user_id\""],
    );
    bad_setup(&directory(&[("a.csv", without.clone()), ("b.csv.bz2", without.clone())]), &["b.csv.bz2", "use gzip"]);
    bad_setup(&directory(&[("_delta_log/0.json", without.clone()), ("b.csv", without)]), &["Delta table", "Export"]);
}

#[test]
fn delimited_text_without_a_header() {
    let table = csv(&grouped_visits()).replacen("user_id,item_id\n", "", 1);
    let by_number = |config: &mut TrainingConfig| {
        config.csv.header = false;
        config.columns.user = Column::Index(0);
        config.columns.item = Column::Index(1);
    };
    assert_eq!(digest("a.csv.zst", zstd(table.as_bytes()), by_number), expected());
    let mut setup = directory(&[("a.csv", table.clone().into_bytes()), ("b.csv", table.into_bytes())]);
    by_number(&mut setup.config);
    let (result, _) = setup.trained();
    assert_eq!(result.rows.merged, grouped_visits().len() as u64);
}

#[test]
fn items_table_may_be_jsonl() {
    let mut setup = Setup::new("a.csv", csv(&grouped_visits()));
    let path = setup.directory.path().join("items.jsonl.gz");
    let table = "{\"id\": \"item00\", \"title\": \"First\", \"stock\": false}\n{\"id\": \"item01\", \"title\": 2, \"stock\": null}\n\
                 {\"id\": \"item02\", \"title\": null, \"stock\": 0}\n{\"id\": \"item03\", \"title\": [1], \"stock\": 1}\n";
    std::fs::write(&path, gzip(table.as_bytes())).unwrap();
    setup.config.items = Some(Items {
        source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: Column::Name("id".to_owned()),
        title: Some(Column::Name("title".to_owned())),
        available: Some(Column::Name("stock".to_owned())),
        attributes: Vec::new(),
    });
    let title = |text: &str| Some(text.to_owned());
    let expected = [(title("First"), false), (title("2"), true), (None, false), (None, true)];
    assert_eq!(setup.in_catalogue(&["item00", "item01", "item02", "item03"]), expected);
}

//! `suggest`: detection of common file formats, training with the suggested config, and errors for
//! bad files.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::Parser as _;
use recommender_sidecar::{
    args::{Cli, Command as Subcommand},
    commands::suggest::suggest,
    suggest::{Suggestion, report, resource},
};
use recommender_trainer::{Options, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, Column, Format, Signal, SplitKind};

/// Part of every id in these files, and of no other text.
const SECRET: &str = "hushhush";

/// Ratings of 300 users for 60 items, one of eight pairs: user, item, rating from 1 to 5, seconds.
fn rows() -> Vec<[u64; 4]> {
    let mut rows = Vec::new();
    for n in 0..2250_u64 {
        let (user, item) = (n % 300, n * 7 % 60 + n / 300 % 4);
        let base = if user % 2 == item % 2 { 3 } else { 0 };
        rows.push([user + 1, item + 1, 1 + base + n % 2, 978_300_000 + n * 3607]);
    }
    rows
}

/// A file with a header and one formatted line per row.
fn lines(header: &str, line: impl Fn([u64; 4]) -> String) -> String {
    rows().into_iter().fold(header.to_owned(), |mut text, row| {
        writeln!(text, "{}", line(row)).unwrap();
        text
    })
}

fn movielens() -> String {
    lines("userId,movieId,rating,timestamp\n", |[user, item, rating, time]| format!("{user},{item},{rating}.0,{time}"))
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

async fn suggested(path: &Path, flags: &[&str]) -> Suggestion {
    let cli = Cli::parse_from(["recmesh-sidecar", "suggest", path.to_str().unwrap()].iter().chain(flags));
    let Subcommand::Suggest(args) = cli.command else { panic!("not the suggest command") };
    suggest(&args).await.unwrap()
}

/// Trains with the suggested config, and compares the estimated size of the model with the file.
async fn assert_trains(suggestion: &Suggestion, directory: &Path) {
    let output = directory.join("model.safetensors");
    let mut config = suggestion.config.clone();
    // The size is that of a model with the most factors.
    if let Algorithm::Auto(limits) = &config.algorithm {
        let factors = serde_json::json!({"factors": limits.factors_max}).as_object().unwrap().clone();
        config.algorithm = Algorithm::with_defaults("als", config.signal, factors).unwrap();
    }
    // With a two-hop term over all items, which the estimate includes for weights.
    if let Algorithm::Als(als) = &mut config.algorithm
        && als.co_occurrence_weight.is_none()
    {
        (als.co_occurrence_weight, als.min_users_per_item) = (Some(1.0), 1);
    }
    let trained = train_to_file(&config, &output, &Silent, &Options::default()).await.unwrap();
    assert_eq!(
        (trained.rows.read, trained.rows.dropped),
        (suggestion.profile.rows.read, suggestion.profile.rows.dropped.clone())
    );
    assert_eq!(
        (trained.trained.users, trained.trained.items),
        (suggestion.profile.users(), suggestion.profile.items())
    );
    assert_eq!(trained.trained.interactions, suggestion.profile.pairs());
    let (forecast, bytes) = (suggestion.sizes.model_bytes as f64, trained.trained.written.bytes as f64);
    assert!((forecast / bytes - 1.0).abs() < 0.15, "{forecast} bytes estimated, {bytes} written");
    let test_users = trained.trained.metrics.unwrap().test_users as f64;
    assert!((suggestion.sizes.test_users as f64 / test_users - 1.0).abs() < 0.1, "{test_users} test users");
}

fn name(text: &str) -> Column {
    Column::Name(text.to_owned())
}

/// User, item, rating, time.
fn columns(suggestion: &Suggestion) -> (Column, Column, Option<Column>, Option<Column>) {
    let sidecar_contract::Columns { user, item, rating, timestamp, event: _ } = suggestion.config.columns.clone();
    (user, item, rating, timestamp)
}

#[tokio::test(flavor = "multi_thread")]
async fn common_file_formats_are_detected_and_train() {
    let directory = tempfile::tempdir().unwrap();
    let numbers = (Column::Index(0), Column::Index(1), Some(Column::Index(2)), Some(Column::Index(3)));
    let movies = (name("userId"), name("movieId"), Some(name("rating")), Some(name("timestamp")));
    let events = (name("visitor_id"), name("sku"), Some(name("quantity")), Some(name("created_at")));
    let event = |[user, item, rating, time]: [u64; 4]| {
        let moment = format!("2024-01-{:02}T{:02}:00:00Z", 1 + time % 28, time % 24);
        format!(
            r#"{{"event": "buy", "visitor_id": "{SECRET}{user}", "sku": {item}, "quantity": {rating}, "created_at": "{moment}"}}"#
        )
    };
    let semicolons =
        lines("Customer;Artikel;Stars;At\n", |[user, item, rating, time]| format!("{user};{item};{rating},5;{time}"));
    let cases = [
        ("ratings.csv", movielens(), movies.clone(), Format::Csv, None, true, Signal::Explicit),
        (
            "u.data",
            lines("", |row| row.map(|n| n.to_string()).join("\t")),
            numbers.clone(),
            Format::Tsv,
            None,
            false,
            Signal::Explicit,
        ),
        (
            "ratings.dat",
            lines("", |row| row.map(|n| n.to_string()).join("::")),
            (Column::Index(0), Column::Index(2), Some(Column::Index(4)), Some(Column::Index(6))),
            Format::Csv,
            Some(':'),
            false,
            Signal::Explicit,
        ),
        ("events.jsonl", lines("", event), events, Format::Jsonl, None, true, Signal::Implicit),
        (
            "sales.csv",
            semicolons,
            (name("Customer"), name("Artikel"), Some(name("Stars")), Some(name("At"))),
            Format::Csv,
            Some(';'),
            true,
            Signal::Implicit,
        ),
        // Excel's first line sets the delimiter, so the config does not.
        (
            "excel.csv",
            format!("sep=;\n{}", movielens().replace(',', ";")),
            movies.clone(),
            Format::Csv,
            None,
            true,
            Signal::Explicit,
        ),
        (
            "pairs.txt",
            lines("", |[user, item, ..]| format!("{user}|{item}")),
            (Column::Index(0), Column::Index(1), None, None),
            Format::Csv,
            Some('|'),
            false,
            Signal::Implicit,
        ),
    ];
    for (file, content, expected, format, delimiter, header, signal) in cases {
        let path = write(directory.path(), file, content);
        let found = suggested(&path, &[]).await;
        assert_eq!(columns(&found), expected, "{file}: {:?}", found.columns);
        assert_eq!(found.config.format, Some(format), "{file}");
        assert_eq!((found.config.csv.delimiter, found.config.csv.header), (delimiter, header), "{file}");
        assert_eq!(found.config.signal, signal, "{file}: {}", found.signal.reason);
        assert_trains(&found, directory.path()).await;
        assert_well_formed(&found);
    }
}

/// Properties of every profile and document.
fn assert_well_formed(found: &Suggestion) {
    let (profile, yaml) = (report::render(found), resource::render(found));
    for line in profile.lines() {
        assert!(line.chars().count() <= 80 || !line.contains(' '), "{line}");
    }
    assert!(!profile.contains(SECRET) && !yaml.contains(SECRET), "{profile}{yaml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_and_the_included_visits_are_detected() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spark = suggested(&data.join("trainer/tests/data/spark/parquet-timestamp-micros"), &[]).await;
    assert_eq!(columns(&spark), (name("user_id"), name("item_id"), Some(name("rating")), Some(name("timestamp"))));
    assert_eq!((spark.config.format, spark.config.signal), (Some(Format::Parquet), Signal::Explicit));
    assert_eq!((spark.profile.users(), spark.profile.items()), (97, 12));
    assert_eq!(spark.profile.times.unwrap().0, 1_700_000_000_000_000);

    let data = data.join("../tests/data/msweb");
    let areas = data.join("areas.csv");
    let visits = suggested(&data.join("visits.csv"), &["--items", areas.to_str().unwrap()]).await;
    assert_eq!(columns(&visits), (name("user_id"), name("item_id"), None, None));
    assert_eq!((visits.profile.users(), visits.profile.items(), visits.profile.pairs()), (32_711, 285, 98_654));
    // Computed with awk: the number of users with one row, and of users of the most visited area.
    assert_eq!(visits.profile.user_degrees.partition_point(|degree| *degree == 1), 9_995);
    assert_eq!(visits.profile.item_degrees.last(), Some(&10_836));
    assert_eq!(visits.profile.titled, Some(285));
    let (items, _) = visits.items.as_ref().unwrap();
    assert_eq!((items.get("id"), items.get("title")), (Some(&name("item_id")), Some(&name("title"))));
    let Algorithm::Auto(limits) = &visits.config.algorithm else { panic!("{:?}", visits.config.algorithm) };
    assert_eq!(limits.factors_max, 32);
    assert_well_formed(&visits);
    assert_trains(&visits, tempfile::tempdir().unwrap().path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_override_detection_and_ambiguities_are_warnings() {
    let directory = tempfile::tempdir().unwrap();
    let log = lines("session_id,user_id,item_id,ms\n", |[user, item, rating, time]| {
        format!("{},{user},{item}.0,{}", rating * 31 + user, time * 1000)
    });
    let path = write(directory.path(), "log.csv", log);
    let found = suggested(&path, &["--timestamp", "ms"]).await;
    assert_eq!(columns(&found), (name("user_id"), name("item_id"), None, Some(name("ms"))));
    let warnings = found.columns.warnings.join("\n");
    assert_eq!(found.profile.rows.reinterpreted["milliseconds"], found.profile.rows.kept);
    for words in ["both \"user_id\" and \"session_id\" may be the user", "7.0 is not 7"] {
        assert!(warnings.contains(words), "{warnings}");
    }
    let flags =
        ["--user", "session_id", "--item", "2", "--signal", "explicit", "--rating", "user_id", "--name", "films"];
    let found = suggested(&path, &flags).await;
    assert_eq!(columns(&found), (name("session_id"), name("item_id"), Some(name("user_id")), Some(name("ms"))));
    assert_eq!((found.config.signal, found.name.as_str()), (Signal::Explicit, "films"));

    // No user has rows on both sides of a time split.
    let blocks =
        lines("user_id,item_id,timestamp\n", |[user, item, _, _]| format!("{user},{item},{}", 1_000_000_000 + user));
    let found = suggested(&write(directory.path(), "blocks.csv", blocks), &[]).await;
    assert_eq!((found.config.evaluation.split, found.profile.measurable_by_time), (Some(SplitKind::Random), Some(0)));

    let days =
        lines("user_id,item_id,day\n", |[user, item, _, time]| format!("{user},{item},2024-01-{:02}", 1 + time % 28));
    let found = suggested(&write(directory.path(), "days.csv", days), &[]).await;
    assert_eq!(found.config.columns.timestamp, Some(name("day")));
    assert_eq!(found.profile.rows.reinterpreted["timeWithoutZone"], found.profile.rows.kept);

    let days =
        lines("user_id,item_id,day\n", |[user, item, _, time]| format!("{user},{item},{:02}/01/2024", 1 + time % 28));
    let found = suggested(&write(directory.path(), "days.csv", days), &[]).await;
    assert_eq!(found.config.columns.timestamp, None);
    assert!(found.columns.warnings.join("\n").contains("no supported time format"), "{:?}", found.columns.warnings);
}

/// A first day: 150 users, 160 films of which ten have no rating, with genres and stock.
#[tokio::test(flavor = "multi_thread")]
async fn small_data_gets_a_gate_that_fits_and_an_item_table_its_features() {
    let directory = tempfile::tempdir().unwrap();
    let mut ratings = "user_id,item_id,stars,timestamp\n".to_owned();
    for n in 0..3130_u64 {
        let (user, item) = (n % 150, (n * 7 + n / 150) % 150);
        writeln!(ratings, "u{user},f{item},{},{}", 1 + (user + item + n) % 5, 1_700_000_000 + n * 60).unwrap();
    }
    let mut films = "item_id,title,genres,studio,year,in_stock,synopsis\n".to_owned();
    for n in 0..160_u64 {
        let genres = ["Drama", "Comedy|Drama", "Action", "Action|Crime"][usize::try_from(n % 4).unwrap()];
        writeln!(films, "f{n},Film {n},{genres},s{},{},{},A long story of {n}", n % 7, 1950 + n % 70, n % 9 > 0)
            .unwrap();
    }
    let (ratings, films) = (write(directory.path(), "r.csv", ratings), write(directory.path(), "films.csv", films));
    let found = suggested(&ratings, &["--items", films.to_str().unwrap()]).await;
    assert_eq!(found.config.signal, Signal::Explicit);
    let (items, _) = found.items.as_ref().unwrap();
    assert_eq!(items.attributes, [name("genres"), name("studio")]);
    assert_eq!(found.config.items.as_ref().unwrap().attributes, items.attributes);
    // The ten films without ratings f150 to f159; f153 is not in stock and may be tomorrow.
    assert_eq!(found.profile.cold_items, Some(10));
    let (yaml, profile) = (resource::render(&found), report::render(&found));
    for expected in [
        "attributes: [genres, studio]",
        "By them the 10 items without interactions",
        "gate: {minLiftOverBaseline: -0.0",
        "the 95 % interval of the lift",
        "resources:\n      requests: {cpu: 50m, memory: 64Mi}\n      limits: {memory: 120Mi}",
    ] {
        assert!(yaml.contains(expected), "{expected} is not in {yaml}");
    }
    for expected in ["accepts a model as good as the", "10 items without interactions"] {
        assert!(profile.contains(expected), "{expected} is not in {profile}");
    }
    assert_well_formed(&found);
    let trained = train_to_file(&found.config, &directory.path().join("m"), &Silent, &Options::default()).await;
    assert_eq!(trained.unwrap().trained.items, 160, "the model has the cold-start items");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_column_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = lines("user_id,item_id,stars\n", |[user, item, rating, _]| format!("{user},{item},{rating} of 5"));
    let found = suggested(&write(directory.path(), "r.csv", text), &[]).await;
    assert_eq!((found.config.columns.rating.clone(), found.config.signal), (None, Signal::Implicit));
    let warnings = found.columns.warnings.join("\n");
    assert!(warnings.contains("\"stars\" has the name of a rating or count, but only 0 % of its values"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_extrapolated_from_a_part_of_the_rows() {
    let directory = tempfile::tempdir().unwrap();
    // Several chunks of a mebibyte, so that the fraction of the first rows can be estimated.
    let mut text = "user_id,item_id,note\n".to_owned();
    for n in 0..40_000 {
        writeln!(text, "{},{},{:0100}", n % 4000, n / 40, n % 7).unwrap();
    }
    let path = write(directory.path(), "long.csv", text);
    let (all, part) = (suggested(&path, &[]).await, suggested(&path, &["--rows", "20000"]).await);
    assert_eq!((all.profile.fraction_read.to_bits(), part.profile.rows.read), (1.0_f64.to_bits(), 20_000));
    assert!((0.3..0.6).contains(&part.profile.fraction_read), "{}", part.profile.fraction_read);
    let ratio = part.sizes.model_bytes as f64 / all.sizes.model_bytes as f64;
    // The sums of pairs grow with the square of the number of items.
    assert!((0.5..2.5).contains(&ratio), "{ratio}");
    assert!(report::render(&part).contains("the first 20,000 rows, about"));
    assert!(resource::render(&part).contains("persistentVolumeClaim: {claimName: fill-in-your-claim, path: long.csv}"));
}

/// Runs `suggest` in a directory.
fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"))
        .arg("suggest")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

#[test]
fn bad_files_are_rejected_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| write(directory.path(), name, content);
    file("empty.csv", b"");
    file("header.csv", b"user_id,item_id\n");
    file("one.csv", b"user_id\n1\n2\n");
    file("latin.csv", b"user_id,item_id\nJ\xf6rg,\xe4\nJ\xfcrg,\xf6\n\xe4,\xfc\n");
    file("binary.csv", &[0, 159, 146, 150, b'\n', 0, 1, 2, 3, b'\n', 0, 200, 0, b'\n']);
    file("twice.csv", b"user_id,user_id,item_id\nada,bob,1\n");
    file("nothing.csv", b"colour,size\nred,2\nblue,3\n");
    file("array.json", b"[{\"user_id\": 1}]\n");
    file("lines.jsonl", b"no json\nneither\n");
    file("dates.csv", format!("user_id,item_id,timestamp\n{SECRET},1,01/05/2024\n{SECRET},2,02/05/2024\n").as_bytes());
    let good = file("good.csv", movielens().as_bytes());
    let packed = Command::new("gzip").arg("-c").arg(good).output().unwrap().stdout;
    file("half.csv.gz", &packed[..packed.len() / 2]);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["missing.csv"], 66, "missing.csv does not exist"),
        (&["empty.csv"], 65, "empty.csv is empty: expected a header and one or more rows"),
        (&["header.csv"], 65, "has a header but no rows"),
        (&["one.csv"], 65, "one.csv has one column"),
        (&["latin.csv"], 65, "latin.csv is not UTF-8 text"),
        (&["binary.csv"], 65, "binary.csv is not UTF-8 text"),
        (&["twice.csv"], 2, "several columns are named \"user_id\": set --user to an index"),
        (
            &["nothing.csv", "--user", "colour", "--item", "weight"],
            2,
            "--item \"weight\" is not a column: the columns are \"colour\", \"size\"",
        ),
        (&["array.json"], 65, "is a JSON array: expected one object per line"),
        (&["lines.jsonl"], 65, "are not rows: expected one JSON object per line"),
        (&["dates.csv"], 2, "every row would be dropped: write RFC 3339"),
        (&["half.csv.gz"], 65, "is damaged or truncated"),
        (&["good.csv", "--name", "My Movies"], 2, "--name \"My Movies\": expected at most 40 lowercase letters"),
        (&["good.csv", "--source", "ftp://a/b"], 2, "--source \"ftp://a/b\": expected s3://"),
    ];
    for (arguments, code, words) in cases {
        let output = run(directory.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(*code), 0), "{arguments:?}: {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

/// Checks the documents that the tests of the CRD also read.
#[test]
fn documents_match_those_that_the_crd_tests_validate() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "ratings.csv", movielens());
    write(
        directory.path(),
        "movies.csv",
        (1..=70).fold("movieId,title,in stock\n".to_owned(), |text, n| {
            format!("{text}{n},\"Movie {n}, the\",{}\n", n % 9 > 0)
        }),
    );
    write(directory.path(), "u.data", lines("", |row| row.map(|n| n.to_string()).join("\t")));
    write(directory.path(), "small.csv", "Käufer;no;Anzahl\nada;1;3\nbob;2;1\nada;2;1\n");
    let cases: &[(&str, &[&str])] = &[
        ("movies", &["ratings.csv", "--items", "movies.csv", "--name", "movies"]),
        ("bucket", &["u.data", "--source", "s3://shop/exports/ratings", "--name", "bucket"]),
        (
            "small",
            &[
                "small.csv",
                "--user",
                "Käufer",
                "--item",
                "no",
                "--header",
                "true",
                "--source",
                "claim:exports/a/small.csv",
            ],
        ),
    ];
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/suggested");
    for (name, arguments) in cases {
        let output = run(directory.path(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = expected.join(format!("{name}.yaml"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &output.stdout).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            committed,
            "{} is stale: run this test with UPDATE_EXPECT=1",
            path.display()
        );
    }
}

//! Files as databases, spreadsheets and shops export them: each is read as its author means it, or
//! fails with the command that fixes it.

use std::collections::BTreeMap;

use recommender_trainer::sample;
use sidecar_contract::{Column, Csv, ExitCode, Items, RowCounts, Signal, Source};

use crate::setup::{Setup, csv, grouped_visits, runtime};

fn dropped(rows: &RowCounts) -> BTreeMap<&str, u64> {
    rows.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
}

#[test]
fn quotes_in_tab_separated_text_are_ordinary_characters() {
    let visits = grouped_visits();
    let mut text = "user_id\titem_id\treview\n".to_owned();
    for (n, (user, item)) in visits.iter().enumerate() {
        let review = if n % 10 == 3 { "\"Great, again" } else { "fine" };
        text.push_str(&format!("{user}\t{item}\t{review}\n"));
    }
    let setup = Setup::new("a.tsv", text);
    let (result, _) = setup.trained();
    assert_eq!((result.rows.read, result.rows.kept), (visits.len() as u64, visits.len() as u64));
    assert_eq!(setup.digest(), Setup::new("a.csv", csv(&visits)).digest());
}

#[test]
fn white_space_around_ids_does_not_make_other_ids() {
    let visits = grouped_visits();
    let expected = Setup::new("a.csv", csv(&visits)).digest();
    let padded: String = visits.iter().map(|(user, item)| format!("{user} , {item}\t\n")).collect();
    assert_eq!(Setup::new("a.csv", format!("user_id,item_id\n{padded}")).digest(), expected);
    let json: String =
        visits.iter().map(|(user, item)| format!("{{\"user_id\":\" {user}\",\"item_id\":\"{item} \"}}\n")).collect();
    assert_eq!(Setup::new("a.jsonl", json).digest(), expected);

    let events = |event: &str| {
        let rows: String = visits.iter().map(|(user, item)| format!("{user},{item},{event}\n")).collect();
        let mut setup = Setup::new("a.csv", format!("user_id,item_id,event\n{rows}"));
        setup.config.columns.event = Some(Column::Name("event".to_owned()));
        setup.config.weights.events = [("view".to_owned(), 2.0)].into();
        setup.digest()
    };
    assert_eq!(events(" view "), events("view"));
}

#[test]
fn null_markers_of_databases_are_not_ids() {
    let visits = grouped_visits();
    let text = csv(&visits) + &"\\N,item00\n".repeat(100) + "user000,\\N\n";
    let setup = Setup::new("a.csv", text);
    let (result, _) = setup.trained();
    assert_eq!(dropped(&result.rows), [("emptyItem", 1), ("emptyUser", 100)].into());
    assert_eq!(setup.digest(), Setup::new("a.csv", csv(&visits)).digest());
}

#[test]
fn utf16_is_named_with_the_command_that_converts_it() {
    let text = csv(&grouped_visits());
    for name in ["a.csv", "a.tsv", "a.jsonl"] {
        let bytes: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let message = Setup::new(name, bytes).failed(ExitCode::BadData, "DataInvalid");
        assert!(message.contains("UTF-16") && message.contains("iconv -f UTF-16 -t UTF-8"), "{message}");
    }
}

#[test]
fn decimal_commas_are_read_unless_they_are_ambiguous() {
    let visits = grouped_visits();
    let weighted = |weight: &dyn Fn(usize) -> &'static str| {
        let rows = visits.iter().enumerate().map(|(n, (user, item))| format!("{user};{item};{}\n", weight(n)));
        let mut setup = Setup::new("a.csv", format!("user_id;item_id;rating\n{}", rows.collect::<String>()));
        setup.config.csv.delimiter = Some(';');
        setup
    };
    let comma = weighted(&|n| if n % 2 == 0 { "4,5" } else { "3,0" });
    assert_eq!(comma.digest(), weighted(&|n| if n % 2 == 0 { "4.5" } else { "3.0" }).digest());
    let (result, _) = weighted(&|n| if n == 7 { "1,234" } else { "3" }).trained();
    assert_eq!(dropped(&result.rows), [("ambiguousComma", 1)].into());
}

#[test]
fn keys_that_the_first_object_lacks_are_columns() {
    let visits = grouped_visits();
    let object = |n: usize, (user, item): &(String, String)| match n {
        0 => format!("{{\"user_id\":\"{user}\",\"item_id\":\"{item}\"}}\n"),
        n => format!("{{\"user_id\":\"{user}\",\"item_id\":\"{item}\",\"rating\":{}}}\n", 1 + n % 5),
    };
    let text: String = visits.iter().enumerate().map(|(n, visit)| object(n, visit)).collect();
    let mut setup = Setup::new("a.jsonl", text);
    setup.config.signal = Signal::Explicit;
    let (result, _) = setup.trained();
    assert_eq!(result.rows.kept, visits.len() as u64 - 1);
    assert_eq!(dropped(&result.rows), [("notANumber", 1)].into());
}

#[test]
fn a_key_that_comes_late_is_used_if_it_is_named_and_else_reported() {
    let visits = grouped_visits();
    let object = |n: usize, (user, item): &(String, String)| match n {
        0..1500 => format!("{{\"user_id\":\"{user}\",\"item_id\":\"{item}\"}}\n"),
        n => format!("{{\"user_id\":\"{user}\",\"item_id\":\"{item}\",\"rating\":{}}}\n", 1 + n % 5),
    };
    let text: String = visits.iter().enumerate().map(|(n, visit)| object(n, visit)).collect();
    let mut setup = Setup::new("a.jsonl", text);
    let (result, _) = setup.trained();
    let late = visits.len() as u64 - 1500;
    assert_eq!(result.rows.kept, visits.len() as u64);
    assert_eq!(result.rows.reinterpreted, [("lateKey".to_owned(), late)].into());
    setup.config.columns.rating = Some(Column::Name("rating".to_owned()));
    setup.config.run.number = 2;
    let finished = setup.run();
    assert_eq!(dropped(&finished.result.unwrap().rows), [("notANumber", 1500)].into());
}

#[test]
fn keys_of_inner_objects_are_columns() {
    let visits = grouped_visits();
    let object = |(user, item): &(String, String)| {
        format!(
            "{{\"type\":\"track\",\"userId\":\"{user}\",\"properties\":{{\"n\":[1],\"product\":{{\"id\":\"{item}\"}}}}}}\n"
        )
    };
    let mut setup = Setup::new("a.jsonl", visits.iter().map(object).collect::<String>());
    setup.config.columns.user = Column::Name("userId".to_owned());
    let message = setup.failed(ExitCode::BadData, "DataInvalid");
    assert!(message.contains("\"type\", \"userId\", \"properties\", \"properties.n\""), "{message}");
    setup.config.run.number = 2;
    setup.config.columns.item = Column::Name("properties.product.id".to_owned());
    assert_eq!(setup.digest(), Setup::new("a.csv", csv(&visits)).digest());
    // `suggest` samples an object and what is inside it.
    let csv = Csv::default();
    let sampled = sample(&setup.config.source, None, &csv, "spec.data", 100, true);
    let sampled = runtime().block_on(sampled).unwrap();
    let names = ["type", "userId", "properties", "properties.n", "properties.product", "properties.product.id"];
    assert_eq!(sampled.names.unwrap(), names);
    assert_eq!(sampled.columns.iter().map(|column| column.filled).collect::<Vec<_>>(), [100, 100, 0, 0, 0, 100]);
}

/// A table of visits whose first 60 ids contain these characters, by the functions that write an id
/// and a row; its reinterpreted rows, if it has the same model as the same ids in JSON.
fn reinterpreted(
    special: &str,
    name: &str,
    header: &str,
    row: impl Fn(&str, &str) -> String,
    change: impl Fn(&mut Setup),
) -> BTreeMap<String, u64> {
    let item = |item: &str| format!("{item}{special}");
    let visits: Vec<(String, String)> = grouped_visits().iter().map(|(user, id)| (user.clone(), item(id))).collect();
    let json =
        |(user, item): &(String, String)| serde_json::json!({"user_id": user, "item_id": item}).to_string() + "\n";
    let expected = Setup::new("a.jsonl", visits.iter().map(json).collect::<String>());
    let rows: String = visits.iter().map(|(user, item)| row(user, item)).collect();
    let mut setup = Setup::new(name, format!("{header}{rows}"));
    change(&mut setup);
    assert_eq!(setup.digest(), expected.digest(), "{name} {special:?}");
    setup.trained().0.rows.reinterpreted
}

#[test]
fn backslash_escapes_of_databases_are_read() {
    let rows = grouped_visits().len() as u64;
    let escaped: BTreeMap<String, u64> = [("backslashEscape".to_owned(), rows)].into();
    let header = "user_id\titem_id\tnote\n";
    // PostgreSQL's COPY and `mysql --batch` write \t and \n; MySQL's INTO OUTFILE writes a
    // backslash before the tab or the line break itself.
    let copy = |text: &str| text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
    let outfile = |text: &str| text.replace('\\', "\\\\").replace('\t', "\\\t").replace('\n', "\\\n");
    for special in ["\\", "a\tb", "a\nb", "\\N", "a\\tb"] {
        let row = |user: &str, item: &str| format!("{user}\t{}\t\\N\n", copy(item));
        assert_eq!(reinterpreted(special, "a.tsv", header, row, |_| ()), escaped, "{special:?}");
        let row = |user: &str, item: &str| format!("{user}\t{}\t\\N\n", outfile(item));
        let lines = special.contains('\n').then(|| ("severalLines".to_owned(), rows));
        let expected = escaped.clone().into_iter().chain(lines).collect();
        assert_eq!(reinterpreted(special, "a.tsv", header, row, |_| ()), expected, "{special:?}");
    }
    // Without escapes, a backslash is an ordinary character.
    for special in ["\\dir", "\\"] {
        let row = |user: &str, item: &str| format!("{user}\t{item}\tx\n");
        let found = reinterpreted(special, "a.tsv", header, row, |_| ());
        assert_eq!(found, BTreeMap::new(), "{special:?}");
    }
    // Redshift's UNLOAD with ESCAPE, and Snowflake without an enclosing character.
    let row = |user: &str, item: &str| format!("{user}|{}|x\n", item.replace('|', "\\|"));
    let bars = |setup: &mut Setup| setup.config.csv.delimiter = Some('|');
    assert_eq!(reinterpreted("|", "a.csv", "user_id|item_id|note\n", row, bars), escaped);
}

#[test]
fn quotes_that_a_backslash_escapes_are_read() {
    let rows = grouped_visits().len() as u64;
    let escaped: BTreeMap<String, u64> = [("backslashEscape".to_owned(), rows)].into();
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    for special in ["\"x\"", "12\"", ", \"x\", y", "\\\""] {
        let row = |user: &str, item: &str| format!("{user},{},1\n", quoted(item));
        assert_eq!(reinterpreted(special, "a.csv", "user_id,item_id,rating\n", row, |_| ()), escaped, "{special:?}");
    }
    for special in ["\"x\"", "\\\"x", "\\"] {
        let row = |user: &str, item: &str| format!("{user},\"{}\",1\n", item.replace('"', "\"\""));
        let found = reinterpreted(special, "a.csv", "user_id,item_id,rating\n", row, |_| ());
        assert_eq!(found, BTreeMap::new(), "{special:?}");
    }
    // R's write.table encloses the header and the text in quotes, also with tabs between them.
    let row = |user: &str, item: &str| format!("{}\t{}\t1\n", quoted(user), quoted(item));
    assert_eq!(reinterpreted("\"x\"", "a.tsv", "\"user_id\"\t\"item_id\"\t\"rating\"\n", row, |_| ()), escaped);
}

/// Availability of items by an item table with these bytes.
fn in_table(name: &str, table: &[u8], items: &[&str]) -> Vec<(Option<String>, bool)> {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let path = setup.directory.path().join(name);
    std::fs::write(&path, table).unwrap();
    setup.config.items = Some(Items {
        source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: Column::Name("item_id".to_owned()),
        title: Some(Column::Name("title".to_owned())),
        available: Some(Column::Name("in_stock".to_owned())),
        attributes: Vec::new(),
    });
    setup.in_catalogue(items)
}

/// [`in_table`] with a table in CSV.
fn availability(table: &[u8], items: &[&str]) -> Vec<(Option<String>, bool)> {
    in_table("items.csv", table, items)
}

#[test]
fn a_title_in_a_legacy_encoding_keeps_its_row() {
    let found = availability(
        b"item_id,title,in_stock\nitem00,Caf\xe9 chair,false\nitem01,Lamp,true\n",
        &["item00", "item01", "item02"],
    );
    let expected = [(Some("Café chair".to_owned()), false), (Some("Lamp".to_owned()), true), (None, true)];
    assert_eq!(found, expected);
    let found = in_table(
        "items.jsonl",
        b"{\"item_id\":\"item00\",\"title\":\"Caf\xe9 chair\",\"in_stock\":false}\n{\"item_id\":\"item01\",\"title\":\"Lamp\"}\n\
          {\"item_id\":\"item02\xe9\",\"title\":\"An id that is not UTF-8\"}\n",
        &["item00", "item01", "item02"],
    );
    assert_eq!(found, expected);
}

#[test]
fn words_of_exports_are_understood_as_availability() {
    let table = "item_id,title,in_stock\nitem00,A,f\nitem01,B,n\nitem02,C,out_of_stock\nitem03,D,0.0\nitem04,E,off\n\
                 item05,F,In Stock\nitem06,G,\\N\nitem07,H,perhaps\nitem08,I,\n";
    let items: Vec<String> = (0..9).map(|n| format!("item{n:02}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let available: Vec<bool> =
        availability(table.as_bytes(), &items).into_iter().map(|(_, available)| available).collect();
    assert_eq!(available, [false, false, false, false, false, true, true, true, true]);
}

/// The visits with a time each, in a file with these times.
fn timed(time: impl Fn(i64) -> String) -> Setup {
    let visits = grouped_visits();
    let row = |(n, (user, item)): (i64, &(String, String))| {
        format!("{user},{item},{}\n", time(1_700_000_000 + 86_400 * (n * 7 % 90)))
    };
    let rows: String = (0..).zip(&visits).map(row).collect();
    let mut setup = Setup::new("a.csv", format!("user_id,item_id,timestamp\n{rows}"));
    setup.config.weights.half_life_seconds = Some(30 * 86_400);
    setup
}

fn calendar(seconds: i64, format: &str) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().strftime(format).to_string()
}

#[test]
fn every_form_of_a_time_gives_the_same_model() {
    let expected = timed(|seconds| seconds.to_string()).digest();
    for (form, time) in [
        ("milliseconds", (&|s: i64| (s * 1000).to_string()) as &dyn Fn(i64) -> String),
        ("microseconds", &|s| (s * 1_000_000).to_string()),
        ("nanoseconds", &|s| (s * 1_000_000_000).to_string()),
        ("timeWithoutZone", &|s| calendar(s, "%Y-%m-%d %H:%M:%S")),
        ("timeWithoutZone", &|s| calendar(s, "%Y/%m/%d %H:%M:%S")),
        ("timeWithoutZone", &|s| calendar(s, "%d.%m.%Y %H:%M:%S")),
        ("", &|s| calendar(s, "%Y-%m-%d %H:%M:%S UTC")),
        ("", &|s| calendar(s, "%Y-%m-%dT%H:%M:%S+0000")),
    ] {
        let setup = timed(time);
        assert_eq!(setup.digest(), expected, "{form}");
        let (result, _) = setup.trained();
        let rows = result.rows.kept;
        let reinterpreted = (!form.is_empty()).then(|| (form.to_owned(), rows));
        assert_eq!(result.rows.reinterpreted, reinterpreted.into_iter().collect(), "{form}");
    }
}

#[test]
fn a_mixture_of_time_units_is_refused() {
    let setup = timed(|seconds| if seconds % 7 == 0 { seconds * 1000 } else { seconds }.to_string());
    let message = setup.failed(ExitCode::BadData, "DataInvalid");
    assert!(message.contains("more than one unit") && message.contains("in milliseconds (first: row "), "{message}");
}

#[test]
fn a_row_far_ahead_of_the_others_is_reported() {
    let first = std::cell::Cell::new(true);
    let (result, _) = timed(|seconds| (seconds + if first.take() { 86_400 * 5000 } else { 0 }).to_string()).trained();
    assert_eq!(result.rows.reinterpreted, [("farAhead".to_owned(), 1)].into());
}

#[test]
fn rows_that_are_read_in_another_form_are_counted() {
    let text = "user_id;item_id;rating\n a;7.0;4,5\nb;8;\"3,0\"\nb;\"9\n\";1\nc;9;2\n";
    let mut setup = Setup::new("a.csv", text);
    setup.config.csv.delimiter = Some(';');
    let (result, _) = setup.trained();
    let expected = [("decimalComma", 2), ("floatId", 1), ("paddedId", 2), ("severalLines", 1)];
    assert_eq!(result.rows.reinterpreted, expected.map(|(form, count)| (form.to_owned(), count)).into());
    assert_eq!((result.rows.read, result.rows.kept), (4, 4));
}

#[test]
fn numbers_with_the_digits_of_a_date_are_dates() {
    let expected = timed(|seconds| calendar(seconds - seconds % 86_400, "%Y-%m-%d")).digest();
    for format in ["%Y%m%d", "%Y%m%d000000", "%Y%m%d.0"] {
        let setup = timed(|seconds| calendar(seconds, format));
        assert_eq!(setup.digest(), expected, "{format}");
        let (result, _) = setup.trained();
        assert_eq!(result.rows.reinterpreted, [("dateNumber".to_owned(), result.rows.kept)].into());
    }
}

#[test]
fn words_for_a_missing_value_are_reported() {
    let text = csv(&grouped_visits()) + "NULL,item00\nnan,item00\nuser000,None\n'user000',item00\n";
    let (result, _) = Setup::new("a.csv", text).trained();
    assert_eq!(result.rows.reinterpreted, [("nullWord".to_owned(), 3), ("quotedId".to_owned(), 1)].into());
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_to_change() {
    let failed = |text: &str, words: &str| {
        let message = Setup::new("a.csv", text).failed(ExitCode::BadData, "DataInvalid");
        assert!(message.contains(words), "{message}");
    };
    failed("user_id,item_id,timestamp\na,1,5/13/2024 10:00\n", "RFC 3339 (2024-05-01T10:00:00Z)");
    failed("user_id,item_id,rating\na,1,\"1,234\"\n", "without separators of thousands");
    failed("user_id,item_id\na,b,1,2\n", "Enclose fields that contain the delimiter");
    failed("user_id;item_id\na;1\n", "Set csv.delimiter to ';'");
}

#[test]
fn headers_of_spreadsheets_and_of_r_are_understood() {
    let visits = grouped_visits();
    let expected = Setup::new("a.csv", csv(&visits)).digest();
    let table = |header: &str, row: &dyn Fn(usize, &str, &str) -> String| {
        let rows = visits.iter().enumerate().map(|(n, (user, item))| row(n, user, item));
        format!("{header}{}", rows.collect::<String>())
    };
    for text in [
        // The line in which Excel looks for the separator.
        table("sep=;\r\nuser_id;item_id\r\n", &|_, user, item| format!("{user};{item}\r\n")),
        // A delimiter at the end of each row.
        table("user_id,item_id\n", &|_, user, item| format!("{user},{item},\n")),
        table("user_id,item_id,\n", &|_, user, item| format!("{user},{item},\n")),
        // Row numbers: pandas leaves their name empty, and R leaves it out.
        table(",user_id,item_id\n", &|n, user, item| format!("{n},{user},{item}\n")),
        table("\"user_id\",\"item_id\"\n", &|n, user, item| format!("\"{n}\",\"{user}\",\"{item}\"\n")),
    ] {
        assert_eq!(Setup::new("a.csv", &text).digest(), expected, "{}", &text[..60]);
    }
}

#[test]
fn a_first_row_with_a_delimiter_too_many_is_dropped_alone() {
    let text = csv(&grouped_visits()).replacen('\n', "\nuser000,item00,item01\n", 1);
    let (result, _) = Setup::new("a.csv", text).trained();
    assert_eq!(dropped(&result.rows), [("wrongFieldCount", 1)].into());
}

#[test]
fn json_of_several_lines_is_named_with_the_command_that_converts_it() {
    let object = "{\n  \"user_id\": \"a\",\n  \"item_id\": 1\n}\n";
    let message = Setup::new("a.json", object.repeat(3)).failed(ExitCode::BadData, "DataInvalid");
    assert!(message.contains("several lines") && message.contains("jq -c . old.json > new.jsonl"), "{message}");
    let message = Setup::new("a.json", format!("[\n{object}]\n")).failed(ExitCode::BadData, "DataInvalid");
    assert!(message.contains("jq -c '.[]' old.json > new.jsonl"), "{message}");
}

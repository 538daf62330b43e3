//! The item table: what of it the model depends on, and what is in the catalogue alone.

use sidecar_contract::{Column, Csv, Items, RunOutcome, Source};

use crate::setup::{Setup, csv, grouped_visits};

fn with_items(table: &str, attributes: &[&str]) -> Setup {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let path = setup.directory.path().join("items.tsv");
    std::fs::write(&path, table).unwrap();
    let name = |name: &str| Column::Name(name.to_owned());
    setup.config.items = Some(Items {
        // The directory of each test differs.
        source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: name("id"),
        title: Some(name("title")),
        available: Some(name("in_stock")),
        attributes: attributes.iter().map(|column| name(column)).collect(),
    });
    setup
}

#[test]
fn catalogue_has_titles_and_availability() {
    let long = "é".repeat(600);
    let setup = with_items(
        &format!(
            "id\ttitle\tin_stock\nitem00\tOld\tyes\nitem00\t First \ttrue\nitem01\tSecond\tFalse\nitem02\t\t0\n\
             item03\t\"Fourth\tno\nitem04\t{long}\t\nshort row\nunknown\tWithout visits\tyes\n"
        ),
        &[],
    );
    let title = |text: &str| Some(text.to_owned());
    let expected = [
        (title("First"), true),
        (title("Second"), false),
        (None, false),
        (title("\"Fourth"), false),
        (title(&"é".repeat(512)), true),
        (None, true),
    ];
    assert_eq!(setup.in_catalogue(&["item00", "item01", "item02", "item03", "item04", "item05"]), expected);
    let (result, snapshot) = setup.trained();
    assert_eq!(snapshot.item_index("unknown"), None);
    assert_eq!(result.rows.read, grouped_visits().len() as u64);
}

const TABLE: &str = "id\ttitle\tin_stock\tgenre\tprice\n\
    item00\tFirst\ttrue\tdrama\t5\n\
    item01\tSecond\ttrue\tcomedy\t6\n\
    item02\tThird\ttrue\tdrama|comedy\t7\n\
    new\tNew\ttrue\tdrama\t8\n";

/// Data version and digest of the model of the next run, which reads this table.
fn next_model(setup: &mut Setup, table: &str) -> (String, String) {
    std::fs::write(setup.directory.path().join("items.tsv"), table).unwrap();
    setup.config.run.number += 1;
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, .. } = result.outcome else { panic!("not trained") };
    (result.data_version, digest.to_string())
}

#[test]
fn titles_availability_and_filter_columns_change_no_model() {
    let mut setup = with_items(TABLE, &["genre"]);
    let first = next_model(&mut setup, TABLE);
    for table in [
        TABLE.replace("First", "1st"),
        TABLE.replace("Second\ttrue", "Second\tfalse"),
        TABLE.replace("New\ttrue", "New\tfalse"),
        TABLE.replace("\t7\n", "\t70\n"),
    ] {
        assert_ne!(table, TABLE);
        assert_eq!(next_model(&mut setup, &table), first, "{table}");
    }
    let more = TABLE.to_owned() + "newer\tNewer\ttrue\tcomedy\t9\n";
    for table in [&TABLE.replace("Second\ttrue\tcomedy", "Second\ttrue\tdrama"), &more] {
        let other = next_model(&mut setup, table);
        assert!(other.0 != first.0 && other.1 != first.1, "{table}");
    }
    // Without attributes, no change of the table matters.
    setup.config.items.as_mut().unwrap().attributes.clear();
    let plain = next_model(&mut setup, TABLE);
    assert_eq!(next_model(&mut setup, &more.replace("comedy", "western")), plain);
    assert_ne!(plain, first);
}

#[test]
fn a_run_after_a_change_of_stock_is_unchanged() {
    let mut setup = with_items(TABLE, &["genre"]);
    let (first, _) = setup.trained();
    setup.config.known_data_version = Some(first.data_version);
    setup.config.run.number = 2;
    let path = setup.directory.path().join("items.tsv");
    std::fs::write(&path, TABLE.replace("true", "false").replace("First", "Last")).unwrap();
    assert_eq!(setup.run().result.unwrap().outcome, RunOutcome::Unchanged);
    setup.config.run.number = 3;
    std::fs::write(&path, TABLE.replace("comedy", "western")).unwrap();
    assert_eq!(setup.run().termination_message.reason, "Trained");
}

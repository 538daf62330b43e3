//! Titles and availability from the item table.

use sidecar_contract::{Column, Csv, Items, Source};

use crate::setup::{Setup, csv, grouped_visits};

fn with_items(table: &str) -> Setup {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let path = setup.directory.path().join("items.tsv");
    std::fs::write(&path, table).unwrap();
    setup.config.items = Some(Items {
        source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: Column::Name("id".to_owned()),
        title: Some(Column::Name("title".to_owned())),
        available: Some(Column::Name("in_stock".to_owned())),
        attributes: Vec::new(),
    });
    setup
}

#[test]
fn snapshot_contains_titles_and_availability() {
    let long = "é".repeat(600);
    let setup = with_items(&format!(
        "id\ttitle\tin_stock\nitem00\tOld\tyes\nitem00\t First \ttrue\nitem01\tSecond\tFalse\nitem02\t\t0\nitem03\t\"Fourth\tno\n\
         item04\t{long}\t\nshort row\nunknown\tWithout visits\tyes\n"
    ));
    let (result, snapshot) = setup.trained();
    let item = |id: &str| snapshot.item_index(id).unwrap();
    let titles: Vec<_> = ["item00", "item01", "item02", "item03", "item05"].map(|id| snapshot.title(item(id))).into();
    assert_eq!(titles, [Some("First"), Some("Second"), None, Some("\"Fourth"), None]);
    assert_eq!(snapshot.title(item("item04")).unwrap(), "é".repeat(512));
    let available: Vec<_> =
        ["item00", "item01", "item02", "item03", "item04", "item05"].map(|id| snapshot.is_available(item(id))).into();
    assert_eq!(available, [true, false, false, false, true, true]);
    assert_eq!(snapshot.item_index("unknown"), None);
    assert_eq!(result.rows.read, grouped_visits().len() as u64);
}

#[test]
fn changed_item_table_changes_data_version_and_revision() {
    let (first, _) = with_items("id\ttitle\tin_stock\nitem00\tFirst\ttrue\n").trained();
    let (second, _) = with_items("id\ttitle\tin_stock\nitem00\t1st\ttrue\n").trained();
    assert_ne!(first.data_version, second.data_version);
    assert_ne!(first.outcome, second.outcome);
}

//! Catalogues made from item tables: their content, what is held, and what changes nothing.

use catalogue::{Catalogue, Condition, Filter};
use recommender_trainer::{Refreshed, refresh_catalogue};
use sidecar_contract::{
    CatalogueConfig, CatalogueResult, Column, Csv, Digest, ExitCode, FilterColumn, FilterKind, ItemCounts, Items,
    KnownCatalogue, RunOutcome, Source,
};

use crate::setup::{Setup, csv, grouped_visits, runtime};

const TABLE: &str = "id,title,stock,genre,price,added\n\
    item00,Old,1,sf,1,2020-01-01\n\
    item00, First ,3,comedy|drama,19.99,2024-05-01\n\
    item01,Second,1,drama,5,1714521600\n\
    item02,,0,,many,soon\n\
    other,Not in the model,1,drama,1,2024-05-01\n\
    ,No id,1,drama,1,2024-05-01\n";

fn filters() -> Vec<FilterColumn> {
    let filter = |name: &str, kind| FilterColumn { column: Column::Name(name.to_owned()), name: None, kind };
    vec![filter("genre", FilterKind::Category), filter("price", FilterKind::Number), filter("added", FilterKind::Time)]
}

/// A trained model and the config of a refresh of its catalogue from this table.
fn refresh(table: &str) -> (Setup, CatalogueConfig) {
    let setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, snapshot_bytes, .. } = result.outcome else { panic!("not trained") };
    let path = setup.directory.path().join("items.csv");
    std::fs::write(&path, table).unwrap();
    let config = CatalogueConfig {
        decided_at: 1_764_370_000,
        revision: digest,
        snapshot_bytes,
        items: Items {
            source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
            format: None,
            csv: Csv::default(),
            id: Column::Name("id".to_owned()),
            title: Some(Column::Name("title".to_owned())),
            available: Some(Column::Name("stock".to_owned())),
            attributes: Vec::new(),
        },
        filters: filters(),
        known: None,
        held: None,
        accepted: None,
        spec_hash: Digest::of(b"spec"),
        store: setup.config.store.clone(),
    };
    (setup, config)
}

fn run(setup: &Setup, config: &CatalogueConfig) -> Refreshed {
    runtime().block_on(refresh_catalogue(config, &setup.store(), &setup.options))
}

fn written(setup: &Setup, config: &CatalogueConfig) -> CatalogueResult {
    let Refreshed { exit, termination_message, result } = run(setup, config);
    assert_eq!(exit, ExitCode::Done, "{termination_message:?}");
    result.unwrap()
}

#[test]
fn a_catalogue_has_the_last_row_of_each_item_of_the_model() {
    let (setup, config) = refresh(TABLE);
    let result = written(&setup, &config);
    assert_eq!(result.items, Some(ItemCounts { items: 60, available: 59, missing: 57, unknown: 1 }));
    let announced = result.catalogue.clone().unwrap();
    let (store, copy) = (setup.store(), setup.directory.path().join("copy"));
    assert_eq!(announced.key, format!("catalogue/{}/{}", result.id, config.revision));
    runtime().block_on(store.fetch_catalogue_to(&announced, &copy)).unwrap();
    assert_eq!(runtime().block_on(store.get_catalogue_result(&result.id, &config.revision)).unwrap(), result);

    let catalogue = Catalogue::read(&copy).unwrap();
    catalogue.verify_digest(&announced.digest).unwrap();
    catalogue.verify_revision(&config.revision, 60).unwrap();
    assert_eq!((catalogue.version(), catalogue.available_items()), (announced.version.as_str(), 59));
    let (_, snapshot) = setup.trained();
    let index = |id: &str| snapshot.item_index(id).unwrap();
    let titles: Vec<_> = ["item00", "item01", "item02", "item03"].map(|id| catalogue.title(index(id))).into();
    assert_eq!(titles, [Some("First"), Some("Second"), None, None]);
    assert!(catalogue.is_available(index("item00")) && !catalogue.is_available(index("item02")));
    let selected = |column: &str, condition| {
        let mut filter = Filter::default();
        filter.push(column.to_owned(), condition);
        let set = catalogue.select(&filter).unwrap().unwrap();
        set.items().map(|item| snapshot.item_id(item).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let any_of = |value: &str| Condition::AnyOf(vec![value.to_owned()]);
    let range = |min: &str, max: &str| Condition::Range { min: Some(min.to_owned()), max: Some(max.to_owned()) };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(selected("genre", any_of("comedy")), ["item00"]);
    assert_eq!(sorted(selected("genre", any_of("drama"))), ["item00", "item01"]);
    assert_eq!(selected("price", range("19.99", "19.99")), ["item00"], "in full precision");
    assert_eq!(sorted(selected("added", range("2024-05-01", "2024-05-01"))), ["item00", "item01"]);
}

#[test]
fn an_unchanged_table_writes_nothing() {
    let (setup, mut config) = refresh(TABLE);
    let first = written(&setup, &config);
    let before = setup.stored();
    config.decided_at += 60;
    config.known = Some(KnownCatalogue {
        source: first.id.hash.clone(),
        is_of_revision: true,
        items: 60,
        available: 59,
        missing: 57,
    });
    let Refreshed { exit, termination_message, result } = run(&setup, &config);
    assert_eq!((exit, termination_message.reason.as_str(), result), (ExitCode::Done, "Unchanged", None));
    assert_eq!(setup.stored(), before);
    // A table in between was held, and the one before it is back.
    config.held = Some("0".repeat(10));
    let back = written(&setup, &config);
    assert_eq!((back.id.hash, back.held), (first.id.hash.clone(), false));
    config.held = None;
    config.decided_at += 60;
    // Another column is another catalogue of the same table.
    config.filters.pop();
    assert_ne!(written(&setup, &config).id.hash, first.id.hash);
    // So is another revision.
    config.filters = filters();
    config.known.as_mut().unwrap().is_of_revision = false;
    assert_eq!(written(&setup, &config).id.hash, first.id.hash);
}

/// A table in which the first items of the model are not in stock.
fn sold_out(items: usize) -> String {
    let mut table = "id,title,stock,genre,price,added\n".to_owned();
    for item in 0..60 {
        table += &format!("item{item:02},Title,{},drama,1,2024-05-01\n", u8::from(item >= items));
    }
    table
}

/// A catalogue with this number of items, all of which were in the table and available.
fn known(is_of_revision: bool, items: u64) -> KnownCatalogue {
    KnownCatalogue { source: "0".repeat(10), is_of_revision, items, available: items, missing: 0 }
}

#[test]
fn a_table_that_was_cut_off_is_held() {
    let whole = sold_out(0);
    let end_of = |items: usize| whole.match_indices('\n').nth(items).unwrap().0 + 1;
    for (bytes, is_held) in [(end_of(29), true), (end_of(29) + 3, true), (end_of(30), false), (whole.len(), false)] {
        let (setup, mut config) = refresh(&whole[..bytes]);
        config.known = Some(known(true, 60));
        assert_eq!(written(&setup, &config).held, is_held, "{bytes} bytes");
        // Such a table is not new: the one before it had as few of the items.
        config.known.as_mut().unwrap().missing = 31;
        config.decided_at += 1;
        assert!(!written(&setup, &config).held);
    }
}

#[test]
fn a_table_that_takes_out_most_items_is_held_until_it_is_accepted() {
    for (items, is_held) in [(30, false), (31, true), (60, true)] {
        let (setup, mut config) = refresh(&sold_out(items));
        config.known = Some(known(true, 60));
        let result = written(&setup, &config);
        assert_eq!((result.held, result.catalogue.is_none()), (is_held, is_held), "{items}");
        assert_eq!(result.items.as_ref().unwrap().available, 60 - items as u64);
        config.decided_at += 60;
        if is_held {
            config.held = Some(result.id.hash.clone());
            assert_eq!(run(&setup, &config).termination_message.reason, "Unchanged");
        }
        config.accepted = Some(result.id.hash.clone());
        let accepted = written(&setup, &config);
        assert!(!accepted.held && accepted.catalogue.is_some(), "{items}");
    }
    // The known catalogue belongs to a model with fewer items: fractions are compared.
    let (setup, mut config) = refresh(&sold_out(20));
    config.known = Some(known(false, 6));
    assert!(!written(&setup, &config).held);
    config.known = None;
    assert!(!written(&setup, &config).held, "there is nothing to compare with");
}

#[test]
fn a_table_that_cannot_be_used_is_a_result_with_its_reason() {
    for (table, expected) in [("", "is empty"), ("id,name\nitem00,First\n", "title")] {
        let (setup, config) = refresh(table);
        let Refreshed { exit, result, .. } = run(&setup, &config);
        assert_eq!(exit, ExitCode::BadData);
        let result = result.unwrap();
        assert!(result.failure.contains(expected) && result.catalogue.is_none(), "{}", result.failure);
    }
    let (setup, mut config) = refresh(TABLE);
    config.items.source.url = "file:///no/such/items.csv".to_owned();
    let result = run(&setup, &config).result.unwrap();
    assert!(result.failure.contains("/no/such/items.csv"), "{}", result.failure);
    config.filters = std::iter::repeat_n(filters(), 3).flatten().collect();
    let result = run(&setup, &CatalogueConfig { decided_at: 1_764_370_001, ..config }).result.unwrap();
    assert!(result.failure.contains("9 columns; expected at most 8"), "{}", result.failure);
}

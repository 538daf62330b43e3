//! Round trips, digests and sizes.

use catalogue::{
    Catalogue, CatalogueError, CatalogueWriter, ColumnKind, PrivateDirectory,
    limits::{COLUMN_BYTES_PER_ITEM_MAX, COLUMNS_MAX},
};
use sidecar_contract::Digest;

use crate::table::{Table, example, revision};

/// Maximum size of a catalogue of 1,000,000 items with 6 columns.
const MILLION_BYTES_MAX: usize = 96 * 1024 * 1024;

#[test]
fn titles_and_availability_round_trip() {
    for items in [0, 1, 63, 64, 65, 200] {
        let table = example(items);
        let catalogue = table.open();
        assert_eq!((catalogue.items(), catalogue.version()), (items, "1764370000-e3b0c44298"));
        assert_eq!(catalogue.available_items(), table.available.iter().filter(|a| **a).count());
        for row in 0..items {
            assert_eq!(catalogue.title(row as u32), table.titles[row].as_deref());
            assert_eq!(catalogue.is_available(row as u32), table.available[row]);
        }
        assert_eq!(catalogue.title(items as u32), None);
        assert!(!catalogue.is_available(items as u32));
        let columns: Vec<(&str, ColumnKind)> = catalogue.columns().collect();
        let kinds = [ColumnKind::Category, ColumnKind::Category, ColumnKind::Number, ColumnKind::Time];
        let names = ["brand", "genre", "price", "since"];
        assert_eq!(columns, names.into_iter().zip(kinds).collect::<Vec<_>>());
    }
}

#[test]
fn equal_content_gives_equal_bytes_in_any_order() {
    let (bytes, written) = example(200).try_write(false).unwrap();
    assert_eq!(example(200).try_write(true).unwrap(), (bytes.clone(), written.clone()));
    assert_eq!((written.digest.clone(), written.bytes), (Digest::of(&bytes), bytes.len() as u64));
    let catalogue = Catalogue::from_bytes(&bytes).unwrap();
    catalogue.verify_digest(&written.digest).unwrap();
    assert!(matches!(catalogue.verify_digest(&revision()), Err(CatalogueError::WrongDigest { .. })));
    assert_eq!(
        written.digest.as_str(),
        "25458d9ad06012fc57b254687d36671d60a9bbf2da5bb8e601e094bdfb4ff5d5",
        "the format has changed: a new version, or catalogues in stores are read wrong"
    );
}

#[test]
fn a_catalogue_belongs_to_one_revision() {
    let catalogue = example(20).open();
    catalogue.verify_revision(&revision(), 20).unwrap();
    assert!(catalogue.verify_revision(&revision(), 21).is_err());
    let error = catalogue.verify_revision(&Digest::of(b""), 20).unwrap_err();
    assert!(error.to_string().contains("not to revision e3b0c44298 with 20 items"), "{error}");
}

#[test]
fn the_file_is_standard_safetensors_and_can_be_mapped() {
    let bytes = example(100).bytes();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("column.2.values").unwrap().shape(), [100]);
    let directory = tempfile::tempdir().unwrap();
    let private = PrivateDirectory::create(directory.path()).unwrap();
    let file = private.file("catalogue").unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    assert_eq!(Catalogue::map(&file).unwrap().digest(), Digest::of(&bytes));
    assert_eq!(Catalogue::read(file.path()).unwrap().title(7), Some("Title ☕ 7"));
}

/// Size of each column with as many items, and the whole file.
fn sizes(items: usize, kind: ColumnKind, add: impl Fn(&mut CatalogueWriter, catalogue::ColumnId, u32)) -> usize {
    let bytes_of = |columns: usize| {
        let mut writer = CatalogueWriter::new("1", &revision(), items).unwrap();
        for column in 0..columns {
            let column = writer.column(&format!("c{column}"), kind).unwrap();
            (0..items as u32).for_each(|item| add(&mut writer, column, item));
        }
        writer.write(std::io::sink()).unwrap().bytes as usize
    };
    bytes_of(2) - bytes_of(1)
}

#[test]
fn a_column_takes_at_most_sixteen_bytes_an_item() {
    let items = 70_000;
    // Header and padding, and the texts of distinct values.
    let overhead = 2000;
    let max = COLUMN_BYTES_PER_ITEM_MAX * items;
    let numbers = sizes(items, ColumnKind::Number, |w, c, i| w.set_number(c, i, f64::from(i % 977)).unwrap());
    assert!(numbers <= 12 * items + overhead, "{numbers}");
    let frequent = sizes(items, ColumnKind::Category, |w, c, i| {
        (0..30).filter(|v| (i + v) % 3 != 0).for_each(|v| w.add_value(c, i, &v.to_string()).unwrap());
    });
    assert!(frequent <= max && frequent <= 30 * items / 8 + 30 * 12 + overhead, "{frequent}");
    let rare = sizes(items, ColumnKind::Category, |w, c, i| w.add_value(c, i, &format!("{}", i / 20)).unwrap());
    assert!(rare <= 5 * items + items / 20 * 12, "{rare}");
    let distinct = sizes(items, ColumnKind::Category, |w, c, i| w.add_value(c, i, &format!("{i:06}")).unwrap());
    assert!(distinct <= max + 6 * items, "{distinct}");

    let mut writer = CatalogueWriter::new("1", &revision(), items).unwrap();
    let column = writer.column("tags", ColumnKind::Category).unwrap();
    for item in 0..items as u32 {
        (0..5)
            .for_each(|tag| writer.add_value(column, item, &format!("{}", (item * 31 + tag * 4001) % 20_000)).unwrap());
    }
    let error = writer.write(std::io::sink()).unwrap_err().to_string();
    assert!(error.contains("column \"tags\"") && error.contains("more than 16 bytes an item"), "{error}");
}

#[test]
fn a_million_items_with_six_columns_fit_their_limit() {
    // A fiftieth of the items; every part grows with them.
    let items = 20_000;
    let mut writer = CatalogueWriter::new("1", &revision(), items).unwrap();
    for column in 0..6 {
        let column = writer.column(&format!("c{column}"), ColumnKind::Number).unwrap();
        (0..items as u32).for_each(|item| writer.set_number(column, item, f64::from(item)).unwrap());
    }
    for item in 0..items as u32 {
        writer.set_title(item, &format!("A title of twenty b{item:5}")).unwrap();
        writer.set_available(item, item % 2 == 0);
    }
    let bytes = writer.write(std::io::sink()).unwrap().bytes as usize;
    assert!(bytes * 50 <= MILLION_BYTES_MAX, "{bytes}");
}

#[test]
fn what_cannot_be_written_is_named() {
    for version in ["", "a b", &"v".repeat(65)] {
        assert!(matches!(CatalogueWriter::new(version, &revision(), 1), Err(CatalogueError::Version(_))));
    }
    let mut writer = CatalogueWriter::new("1", &revision(), 3).unwrap();
    let genre = writer.column("genre", ColumnKind::Category).unwrap();
    let price = writer.column("price", ColumnKind::Number).unwrap();
    for error in [
        writer.column("genre", ColumnKind::Number).unwrap_err(),
        writer.set_number(genre, 0, 1.0).unwrap_err(),
        writer.add_value(genre, 0, &"x".repeat(300)).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("column \"genre\": "), "{error}");
    }
    assert!(writer.add_value(price, 0, "x").unwrap_err().to_string().starts_with("column \"price\": "));
    // Rows that do not exist, and values that are not, change nothing.
    let written = |writer: CatalogueWriter| writer.write(std::io::sink()).unwrap();
    let mut other = CatalogueWriter::new("1", &revision(), 3).unwrap();
    let (genre, price) =
        (other.column("genre", ColumnKind::Category).unwrap(), other.column("price", ColumnKind::Number).unwrap());
    other.add_value(genre, 3, "x").unwrap();
    other.add_value(genre, 0, "").unwrap();
    other.set_number(price, 1, f64::INFINITY).unwrap();
    other.set_number(price, 3, 1.0).unwrap();
    other.set_available(3, false);
    assert_eq!(written(writer), written(other));
    let mut many = CatalogueWriter::new("1", &revision(), 3).unwrap();
    for column in 0..COLUMNS_MAX {
        many.column(&column.to_string(), ColumnKind::Time).unwrap();
    }
    assert!(many.column("one more", ColumnKind::Time).is_err());
    assert!(Table::default().open().select(&catalogue::Filter::default()).unwrap().is_none());
}

//! Damaged files: an error, or a catalogue whose every access is safe.

use catalogue::{Catalogue, CatalogueError, Condition, Filter};
use proptest::prelude::*;

use crate::table::example;

/// Reads everything that a catalogue offers.
fn use_everything(catalogue: &Catalogue) {
    for item in (0..300).chain([u32::MAX]) {
        catalogue.title(item);
        assert!(!catalogue.is_available(item) || (item as usize) < catalogue.items());
    }
    let range = Condition::Range { min: Some("10".to_owned()), max: None };
    let any = |value: &str| Condition::AnyOf(vec![value.to_owned(), "brand 3".to_owned()]);
    let conditions = [range, any("drama"), any("brand 4"), Condition::NoneOf(vec!["5".to_owned()])];
    let columns: Vec<String> = catalogue.columns().map(|(name, _)| name.to_owned()).collect();
    for column in columns {
        for condition in &conditions {
            let mut filter = Filter::default();
            filter.push(column.clone(), condition.clone());
            if let Ok(Some(set)) = catalogue.select(&filter) {
                assert!(set.items().all(|item| (item as usize) < catalogue.items() && set.contains(item)));
                assert!(set.len() <= set.len_max());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                                 data_only in any::<bool>()) {
        let mut bytes = example(130).bytes();
        let head = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        for (index, byte) in changes {
            let from = if data_only { head } else { 0 };
            let at = from + index.index(bytes.len() - from);
            bytes[at] = byte;
        }
        if let Ok(catalogue) = Catalogue::from_bytes(&bytes) {
            use_everything(&catalogue);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Catalogue::from_bytes(&bytes).is_err());
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = example(70).bytes();
    for len in 0..bytes.len() {
        assert!(Catalogue::from_bytes(&bytes[..len]).is_err(), "{len}");
    }
}

/// Replaces the elements of a tensor.
fn with_tensor(name: &str, change: impl FnOnce(&mut [u8])) -> Result<Catalogue, CatalogueError> {
    let bytes = example(130).bytes();
    let data = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().as_ptr_range();
    let start = data.start as usize - bytes.as_ptr() as usize;
    let len = data.end as usize - data.start as usize;
    let mut changed = bytes;
    change(&mut changed[start..start + len]);
    Catalogue::from_bytes(&changed)
}

#[test]
fn contents_that_accessors_rely_on_are_checked() {
    let swap = |width: usize| move |data: &mut [u8]| data[..2 * width].rotate_left(width);
    let last_bit = |data: &mut [u8]| *data.last_mut().unwrap() |= 0x80;
    let infinity = |data: &mut [u8]| data[8..16].copy_from_slice(&f64::INFINITY.to_le_bytes());
    let missing = |data: &mut [u8]| data[8..16].copy_from_slice(&f64::NAN.to_le_bytes());
    let far = |data: &mut [u8]| data[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    // Columns in order: brand, genre, price, since.
    for result in [
        with_tensor("available", last_bit),
        with_tensor("titles.bytes", |data| data[0] = 0xff),
        with_tensor("titles.offsets", |data| data[4] = 0xff),
        with_tensor("column.0.names.bytes", |data| data[0] = b'z'),
        with_tensor("column.0.lists", far),
        with_tensor("column.0.lists", swap(4)),
        with_tensor("column.0.starts", swap(4)),
        with_tensor("column.1.frequent", swap(4)),
        with_tensor("column.1.frequent", far),
        with_tensor("column.1.bitsets", last_bit),
        with_tensor("column.1.bitsets", |data| data[..24].fill(0)),
        with_tensor("column.2.values", infinity),
        with_tensor("column.2.values", missing),
        with_tensor("column.2.sorted", far),
        with_tensor("column.2.sorted", swap(4)),
    ] {
        assert!(matches!(result, Err(CatalogueError::Corrupt { .. })), "{result:?}");
    }
}

#[test]
fn the_format_of_another_release_is_named() {
    let text = String::from_utf8_lossy(&example(3).bytes()).into_owned();
    assert!(text.contains("formatVersion\\\":1"));
    let mut bytes = example(3).bytes();
    let at = bytes.windows(17).position(|window| window.starts_with(b"formatVersion\\\":1")).unwrap() + 16;
    bytes[at] = b'2';
    let error = Catalogue::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.starts_with("catalogue format version 2 is not supported"), "{error}");
}

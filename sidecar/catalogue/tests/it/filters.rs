//! Filters against a test of every item by its plain values.

use std::collections::BTreeSet;

use catalogue::{ColumnKind, Condition, Filter};
use proptest::prelude::*;

use crate::table::{Table, example};

/// A condition in plain values.
#[derive(Clone, Debug)]
enum Plain {
    Any(usize, Vec<String>),
    None(usize, Vec<String>),
    Range(usize, Option<i32>, Option<i32>),
}

fn tables() -> impl Strategy<Value = Table> {
    let value = |values: u32| (0..values).prop_map(|value| format!("v{value}"));
    let row = (
        any::<bool>(),
        prop::collection::btree_set(value(3), 0..3),
        prop::collection::btree_set(value(60), 0..2),
        prop::option::of(-20..20_i32),
    );
    (prop::collection::vec(row, 0..300), any::<bool>()).prop_map(|(rows, all_available)| Table {
        titles: vec![None; rows.len()],
        available: rows.iter().map(|row| all_available || row.0).collect(),
        categories: vec![
            ("genre", rows.iter().map(|row| row.1.clone()).collect()),
            ("brand", rows.iter().map(|row| row.2.clone()).collect()),
        ],
        numbers: vec![("price", ColumnKind::Number, rows.iter().map(|row| row.3.map(f64::from)).collect())],
    })
}

fn conditions() -> impl Strategy<Value = Vec<Plain>> {
    let values = |count: u32| prop::collection::vec((0..count).prop_map(|value| format!("v{value}")), 1..4);
    let bound = || prop::option::of(-25..25_i32);
    let condition = prop_oneof![
        values(3).prop_map(|values| Plain::Any(0, values)),
        values(60).prop_map(|values| Plain::Any(1, values)),
        values(3).prop_map(|values| Plain::None(0, values)),
        values(60).prop_map(|values| Plain::None(1, values)),
        (bound(), bound()).prop_map(|(min, max)| Plain::Range(0, min, max)),
    ];
    prop::collection::vec(condition, 0..4)
}

fn passes(table: &Table, conditions: &[Plain], row: usize) -> bool {
    let has = |column: usize, values: &[String]| {
        let found: &BTreeSet<String> = &table.categories[column].1[row];
        values.iter().any(|value| found.contains(value))
    };
    table.available[row]
        && conditions.iter().all(|condition| match condition {
            Plain::Any(column, values) => has(*column, values),
            Plain::None(column, values) => !has(*column, values),
            Plain::Range(column, min, max) => table.numbers[*column].2[row].is_some_and(|value| {
                min.is_none_or(|min| value >= f64::from(min)) && max.is_none_or(|max| value <= f64::from(max))
            }),
        })
}

fn filter(table: &Table, conditions: &[Plain]) -> Filter {
    let mut filter = Filter::default();
    for condition in conditions {
        let (name, condition) = match condition {
            Plain::Any(column, values) => (table.categories[*column].0, Condition::AnyOf(values.clone())),
            Plain::None(column, values) => (table.categories[*column].0, Condition::NoneOf(values.clone())),
            Plain::Range(column, min, max) => {
                let text = |bound: &Option<i32>| bound.map(|bound| bound.to_string());
                (table.numbers[*column].0, Condition::Range { min: text(min), max: text(max) })
            }
        };
        filter.push(name.to_owned(), condition);
    }
    filter
}

/// Whether a category value of the condition is unknown, or the range is empty.
fn is_error(table: &Table, condition: &Plain) -> bool {
    match condition {
        Plain::Any(column, values) | Plain::None(column, values) => {
            let known: BTreeSet<&String> = table.categories[*column].1.iter().flatten().collect();
            values.iter().any(|value| !known.contains(value))
        }
        Plain::Range(_, min, max) => min.zip(*max).is_some_and(|(min, max)| min > max),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn selected_items_are_those_that_pass_one_by_one((table, conditions) in (tables(), conditions())) {
        let catalogue = table.open();
        let result = catalogue.select(&filter(&table, &conditions));
        if conditions.iter().any(|condition| is_error(&table, condition)) {
            prop_assert!(result.is_err());
            return Ok(());
        }
        let expected: Vec<u32> =
            (0..table.items()).filter(|row| passes(&table, &conditions, *row)).map(|row| row as u32).collect();
        match result.unwrap() {
            None => prop_assert_eq!(expected.len(), table.items()),
            Some(set) => {
                prop_assert_eq!(set.items().collect::<Vec<_>>(), expected.clone());
                prop_assert_eq!((set.len(), set.is_empty()), (expected.len(), expected.is_empty()));
                prop_assert!(set.len_max() >= set.len());
                let contained = (0..table.items() as u32 + 70).filter(|item| set.contains(*item));
                prop_assert_eq!(contained.collect::<Vec<_>>(), expected.clone());
                let with_bit = |item: &u32| set.bits()[*item as usize / 64] >> (item % 64) & 1 == 1;
                prop_assert!(expected.iter().all(with_bit));
                let set = set.into_bits();
                prop_assert_eq!(set.items().collect::<Vec<_>>(), expected.clone());
                prop_assert_eq!((set.len_max(), set.bits().len()), (expected.len(), table.items().div_ceil(64)));
            }
        }
    }
}

fn select(column: &str, condition: Condition) -> Result<Vec<u32>, String> {
    let mut filter = Filter::default();
    filter.push(column.to_owned(), condition);
    let catalogue = example(300).open();
    let set = catalogue.select(&filter).map_err(|error| error.to_string())?;
    Ok(set.unwrap().items().collect())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn unknown_columns_and_values_name_the_known_ones() {
    assert_eq!(
        select("gender", Condition::AnyOf(texts(&["x"]))).unwrap_err(),
        r#"where: the catalogue has no column "gender"; columns are "brand", "genre", "price", "since""#
    );
    assert_eq!(
        select("genre", Condition::NoneOf(texts(&["Comedy"]))).unwrap_err(),
        r#"where.genre: no item has the value "Comedy"; values are "comedy", "drama", "é""#
    );
    let error = select("brand", Condition::AnyOf(texts(&["BRAND 7"]))).unwrap_err();
    assert!(error.contains(r#"values are "brand 7", "brand 0", "brand 1", "brand 10""#), "{error}");
    assert!(error.ends_with("and 30 more"), "{error}");
    let range = |min: &str, max: &str| Condition::Range { min: Some(min.to_owned()), max: Some(max.to_owned()) };
    for (column, condition, error) in [
        ("genre", range("1", "2"), "where.genre: the column has categories, which have no order"),
        ("price", range("2", "1"), "where.price: min is above max"),
        ("price", range("cheap", "2"), "where.price: \"cheap\" is not a number"),
        ("since", range("0", "soon"), "where.since: \"soon\" is not a time such as \"2024-05-01\""),
        ("price", Condition::AnyOf(texts(&["x"])), "where.price: \"x\" is not a number"),
    ] {
        let found = select(column, condition).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn times_are_filtered_by_dates_and_numbers_by_equality() {
    // Item i is of day i; every seventh from 3 is unavailable.
    let days = Condition::Range { min: Some("1970-01-05".to_owned()), max: Some("1970-01-11T23:00:00Z".to_owned()) };
    assert_eq!(select("since", days).unwrap(), [4, 5, 6, 7, 8, 9]);
    let any = select("price", Condition::AnyOf(texts(&["74", "37.0"]))).unwrap();
    let price = |i: &u32| !i.is_multiple_of(11) && i % 7 != 3 && matches!(i * 37 % 101, 74 | 37);
    assert_eq!(any, (0..300).filter(price).collect::<Vec<u32>>());
}

//! Catalogues: a file that opens can be read everywhere, and its filters select items of it.

use catalogue::{Catalogue, ColumnKind, Condition, Filter, FilterError};

/// Maximum number of items that are read one by one.
const ITEMS_MAX: usize = 200;

/// The bytes of a file. Returns whether it is a catalogue.
pub fn catalogue(input: &[u8]) -> bool {
    let Ok(catalogue) = Catalogue::from_bytes(input) else { return false };
    // One more item than there is: it reads as absent.
    for item in (0..).take(catalogue.items().saturating_add(1).min(ITEMS_MAX)) {
        let exists = (item as usize) < catalogue.items();
        assert!(exists || catalogue.title(item).is_none());
        assert!(exists || !catalogue.is_available(item));
    }
    assert!(catalogue.available_items() <= catalogue.items());
    check(&catalogue, &Filter::default());
    let columns: Vec<(String, ColumnKind)> = catalogue.columns().map(|(name, kind)| (name.to_owned(), kind)).collect();
    for (name, kind) in columns {
        for condition in conditions(&catalogue, &name, kind) {
            let mut filter = Filter::default();
            filter.push(name.clone(), condition);
            check(&catalogue, &filter);
        }
    }
    true
}

/// Conditions on a column: values that it names, and ranges.
fn conditions(catalogue: &Catalogue, column: &str, kind: ColumnKind) -> Vec<Condition> {
    let range = |min: Option<&str>, max: Option<&str>| Condition::Range {
        min: min.map(str::to_owned),
        max: max.map(str::to_owned),
    };
    match kind {
        ColumnKind::Category => {
            let mut unknown = Filter::default();
            unknown.push(column.to_owned(), Condition::AnyOf(vec!["\u{10ffff}".to_owned()]));
            let Err(FilterError::UnknownValue { known, .. }) = catalogue.select(&unknown) else { return Vec::new() };
            let each = known.iter().map(|value| Condition::AnyOf(vec![value.clone()]));
            each.chain([Condition::NoneOf(known.clone())]).collect()
        }
        ColumnKind::Number | ColumnKind::Time => vec![
            range(None, None),
            range(Some("0"), None),
            range(None, Some("1700000000")),
            Condition::AnyOf(vec!["1".to_owned()]),
            Condition::NoneOf(vec!["1".to_owned()]),
        ],
    }
}

/// What a filter selects are available items of the catalogue, each once.
fn check(catalogue: &Catalogue, filter: &Filter) {
    let Ok(Some(set)) = catalogue.select(filter) else { return };
    let items: Vec<u32> = set.items().collect();
    assert!(items.is_sorted_by(|before, after| before < after));
    assert!(items.iter().all(|item| set.contains(*item) && catalogue.is_available(*item)));
    assert_eq!((items.len(), items.is_empty()), (set.len(), set.is_empty()));
    assert!(items.len() <= set.len_max() && set.len_max() <= catalogue.items());
    let others = (0..).take(catalogue.items().min(ITEMS_MAX)).filter(|item| items.binary_search(item).is_err());
    assert!(others.into_iter().all(|item| !set.contains(item)));
}

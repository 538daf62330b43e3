//! Finds items by id or title, for people who look at the admin port.

use std::time::Duration;

use answering::Local;
use serde::Serialize;

use crate::limits::{FOUND_ITEMS_MAX, ITEM_SEARCH_TIME_MAX};

/// Number of items between two looks at the clock.
const ITEMS_PER_CHECK: u32 = 1024;

/// Items that were found.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundItems {
    /// The item with this id, then items in the order of the model.
    pub items: Vec<FoundItem>,
    /// Whether every item was looked at: false if there may be more, because there are
    /// [`FOUND_ITEMS_MAX`] or the time was over.
    pub complete: bool,
}

/// One item that was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FoundItem {
    /// Id in the training data.
    pub id: String,
    /// Title, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether it may be recommended.
    pub available: bool,
}

/// Items whose id or title contains a text, without regard to case. `elapsed` is the time since the
/// search began; after [`ITEM_SEARCH_TIME_MAX`] the search ends.
pub fn search(local: &Local, text: &str, elapsed: impl Fn() -> Duration) -> FoundItems {
    let snapshot = local.model().snapshot();
    let needle = text.to_lowercase();
    let found = |row: u32| FoundItem {
        id: snapshot.item_id(row).unwrap_or_default().to_owned(),
        title: local.title(row).map(str::to_owned),
        available: local.is_available(row),
    };
    let exact = snapshot.item_index(text);
    let mut items: Vec<FoundItem> = exact.map(found).into_iter().collect();
    for row in (0..).take(snapshot.items()) {
        if row % ITEMS_PER_CHECK == 0 && elapsed() >= ITEM_SEARCH_TIME_MAX {
            return FoundItems { items, complete: false };
        }
        let texts = [snapshot.item_id(row), local.title(row)];
        if Some(row) == exact || !texts.into_iter().flatten().any(|text| contains(text, &needle)) {
            continue;
        }
        if items.len() == FOUND_ITEMS_MAX {
            return FoundItems { items, complete: false };
        }
        items.push(found(row));
    }
    FoundItems { items, complete: true }
}

/// Whether a text contains a needle of lower case, without regard to case.
fn contains(text: &str, needle: &str) -> bool {
    if text.is_ascii() {
        let (text, needle) = (text.as_bytes(), needle.as_bytes());
        return needle.is_empty() || text.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle));
    }
    text.to_lowercase().contains(needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_without_regard_to_case() {
        for (text, needle, expected) in [
            ("The Third Man", "third m", true),
            ("Amélie", "ÉL", true),
            ("STRASSE", "strasse", true),
            ("short", "a longer text", false),
            ("any", "", true),
            ("", "a", false),
            ("abc", "é", false),
        ] {
            assert_eq!(contains(text, &needle.to_lowercase()), expected, "{text} {needle}");
        }
    }
}

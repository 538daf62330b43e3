//! Snapshots: a file that opens can be read everywhere, and a model of it can answer.

use std::sync::Arc;

use answering::{Ask, DEFAULT_VARIANT, HistoryEntry, Local, Model, Query, RequestId};
use model_snapshot::Snapshot;
use sidecar_contract::ServingMode;

/// Maximum number of rows whose accessors are called.
const ROWS_MAX: usize = 50;

/// The bytes of a file. Returns whether it can serve.
pub fn snapshot(input: &[u8]) -> bool {
    let Ok(snapshot) = Snapshot::from_bytes(input) else { return false };
    read_everything(&snapshot);
    let digest = snapshot.digest();
    let Ok(model) = Model::new(digest, snapshot, 0) else { return false };
    answer(&Arc::new(model));
    true
}

fn read_everything(snapshot: &Snapshot) {
    assert_eq!(snapshot.user_factors().nrows(), snapshot.users());
    assert_eq!(snapshot.item_factors().nrows(), snapshot.items());
    assert_eq!(snapshot.gram().dim(), (snapshot.factors(), snapshot.factors()));
    assert_eq!(snapshot.item_counts().len(), snapshot.items());
    if let Some((_, users, items)) = snapshot.ratings() {
        assert_eq!((users.len(), items.len()), (snapshot.users(), snapshot.items()));
    }
    // One more row than there is: it reads as absent.
    for user in rows(snapshot.users() + 1) {
        let seen = snapshot.seen(user);
        assert!(seen.iter().all(|item| snapshot.item_id(*item).is_some()), "user {user} has an unknown item");
        assert!(snapshot.seen_weights(user).is_none_or(|weights| weights.len() == seen.len()));
        assert_eq!(snapshot.user_id(user).and_then(|id| snapshot.user_index(id)), exists(user, snapshot.users()));
    }
    for item in rows(snapshot.items() + 1) {
        assert_eq!(snapshot.item_id(item).and_then(|id| snapshot.item_index(id)), exists(item, snapshot.items()));
        snapshot.title(item);
        assert!(!snapshot.is_available(item) || (item as usize) < snapshot.items());
    }
    assert!(snapshot.popular().iter().all(|item| snapshot.item_id(*item).is_some()), "an unknown item is popular");
}

fn rows(count: usize) -> impl Iterator<Item = u32> {
    (0..).take(count.min(ROWS_MAX))
}

fn exists(row: u32, rows: usize) -> Option<u32> {
    ((row as usize) < rows).then_some(row)
}

/// Asks for every kind of answer.
fn answer(model: &Arc<Model>) {
    let snapshot = model.snapshot();
    let user = snapshot.user_id(0).map(str::to_owned);
    let history: Vec<HistoryEntry> = (0..3)
        .filter_map(|row| Some(HistoryEntry { item: snapshot.item_id(row)?.to_owned(), rating: Some(3.0) }))
        .collect();
    let mut queries = vec![
        Query::Recommend { user: user.clone(), history: Vec::new() },
        Query::Recommend { user: None, history: history.clone() },
        Query::Recommend { user: Some("unknown".to_owned()), history: Vec::new() },
    ];
    queries.extend(history.into_iter().take(1).map(|entry| Query::Similar { item: entry.item }));
    let local = Local::new(Arc::clone(model), DEFAULT_VARIANT, ServingMode::Personalized);
    for query in queries {
        let id = RequestId::parse("fuzz").expect("letters are valid");
        let ask = Ask { explain: true, ..Ask::new(id, query) };
        if let Ok(answer) = local.answer(&ask) {
            assert!(answer.items.len() <= ask.n, "{} items", answer.items.len());
        }
    }
}

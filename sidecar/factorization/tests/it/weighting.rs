//! BM25, compared with an independent implementation.

use factorization::{Entry, FittedWeighting, Interactions, Weighting};

use crate::{data::Draws, python};

fn draws(users: u32, items: u32, entries: u32, seed: u64) -> Vec<Entry> {
    let mut draws = Draws(seed);
    let mut seen = std::collections::BTreeSet::new();
    let pairs: Vec<_> = (0..entries).map(|_| (draws.below(users), draws.below(items))).collect();
    let new = pairs.into_iter().filter(|pair| seen.insert(*pair)).collect::<Vec<_>>();
    new.into_iter().map(|(user, item)| Entry { user, item, value: 0.25 + draws.below(200) as f32 / 4.0 }).collect()
}

#[test]
fn bm25_matches_an_independent_implementation() {
    let (users, items) = (30, 40);
    let entries = draws(users, items, 300, 3);
    let rows = Interactions::from_entries(users as usize, items as usize, entries).unwrap();
    let entries: Vec<_> = (0..users)
        .flat_map(|user| {
            let (items, values) = rows.row(user as usize);
            items
                .iter()
                .zip(values)
                .map(move |(item, value)| serde_json::json!([user, item, value]))
                .collect::<Vec<_>>()
        })
        .collect();
    let case = serde_json::json!({"users": users, "items": items, "entries": entries});
    let theirs: Vec<f64> = serde_json::from_value(python::run("weighting.py", &case)).unwrap();
    let ours = FittedWeighting::fit(Weighting::Bm25, &rows).transform(rows);
    assert_eq!(ours.values().len(), theirs.len());
    for (ours, theirs) in ours.values().iter().zip(&theirs) {
        // Ours are rounded to f32.
        assert!((f64::from(*ours) - theirs).abs() <= 1e-7 * theirs.abs(), "{ours} {theirs}");
    }
}

#[test]
fn transformed_rows_do_not_affect_the_statistics() {
    let (users, items) = (30, 40);
    let training = Interactions::from_entries(users, items, draws(30, 40, 300, 3)).unwrap();
    let fitted = FittedWeighting::fit(Weighting::Bm25, &training);
    let single = |value| Interactions::from_entries(1, items, vec![Entry { user: 0, item: 7, value }]).unwrap();
    let (one, many) = (fitted.transform(single(1.0)).values()[0], fitted.transform(single(1e6)).values()[0]);
    // The limit for large weights is (K + 1) times the rarity: the length of the item is that of
    // training.
    let limit = 101.0 * (items as f64 / 2.0).ln();
    assert!(one < 20.0 && (f64::from(many) / limit - 1.0).abs() < 1e-3, "{one} {many} {limit}");
}

//! Answers of a loaded revision, compared with a brute force over the factors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::float_cmp)] // Tests may panic; integers are exact.

use std::sync::{Arc, LazyLock};

use answering::{
    Answer, AnswerError, Ask, DEFAULT_VARIANT, Filter, HistoryEntry, Local, Model, Query, RequestId, Source,
};
use catalogue::{Catalogue, CatalogueWriter};
use model_snapshot::{Metadata, ModelParts, Seen, Snapshot, StringTable, write};
use ndarray::{Array2, array};
use sidecar_contract::{Algorithm, AlsConfig, Digest, ServingMode, Signal};

/// Integers, so that inner products are exact.
const ITEMS: [[f32; 2]; 7] = [[1.0, 0.0], [4.0, 1.0], [0.0, 3.0], [2.0, 2.0], [5.0, 0.0], [1.0, 6.0], [3.0, 1.0]];
const COUNTS: [u32; 7] = [3, 9, 4, 1, 0, 7, 5];
/// Rows of [`COUNTS`] from the largest.
const POPULAR: [u32; 7] = [1, 5, 6, 2, 0, 3, 4];
const USER: [f32; 2] = [2.0, 1.0];
/// What the user interacted with in training.
const SEEN: [u32; 2] = [0, 4];
const UNAVAILABLE: u32 = 6;

fn local(mode: ServingMode) -> &'static Local {
    static PERSONALIZED: LazyLock<Local> = LazyLock::new(|| make(ServingMode::Personalized));
    static POPULARITY: LazyLock<Local> = LazyLock::new(|| make(ServingMode::PopularityOnly));
    if mode.is_personalized() { &PERSONALIZED } else { &POPULARITY }
}

fn make(mode: ServingMode) -> Local {
    let names = |kind: &str, count: usize| -> StringTable { (0..count).map(|row| format!("{kind}{row}")).collect() };
    let (users, items) = (names("user", 2), names("item", ITEMS.len()));
    let item_factors: Array2<f32> = ndarray::arr2(&ITEMS);
    let gram = item_factors.mapv(f64::from).t().dot(&item_factors.mapv(f64::from));
    let metadata = Metadata {
        algorithm: Algorithm::Als(AlsConfig { factors: 2, regularization: Some(0.1), ..AlsConfig::WIRE_DEFAULT }),
        signal: Signal::Implicit,
        seed: 1,
        users: 2,
        items: ITEMS.len() as u64,
        factors: 2,
        interactions: SEEN.len() as u64,
        mean_degree_weight: None,
        ratings: None,
        two_hop_entries: None,
        two_hop_first_square: None,
        two_hop_pair_items: None,
        cold_items: 0,
    };
    let user_factors = array![[2.0, 1.0], [0.0, 0.0]];
    let mut bytes = Vec::new();
    let parts = ModelParts {
        metadata: &metadata,
        user_ids: &users,
        item_ids: &items,
        user_factors: user_factors.view(),
        item_factors: item_factors.view(),
        gram: gram.view(),
        biases: None,
        item_counts: &COUNTS,
        popular_items: &POPULAR,
        seen: Seen { offsets: &[0, 2, 2], items: &SEEN, weights: None },
        two_hop: None,
        item_codes: None,
    };
    write(&parts, &mut bytes).unwrap();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    let revision = Digest::of(&bytes);
    let local = Local::new(Arc::new(Model::new(revision.clone(), snapshot, 7).unwrap()), DEFAULT_VARIANT, mode);
    local.with_catalogue(Some(Arc::new(catalogue(&revision)))).unwrap()
}

fn catalogue(revision: &Digest) -> Catalogue {
    let mut writer = CatalogueWriter::new("v1", revision, ITEMS.len()).unwrap();
    for row in 0..7 {
        writer.set_title(row, &format!("Title {row}")).unwrap();
        writer.set_available(row, row != UNAVAILABLE);
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    Catalogue::from_bytes(&bytes).unwrap()
}

fn user(id: &str) -> Query {
    Query::Recommend { user: Some(id.to_owned()), history: Vec::new() }
}

fn answer(query: Query, n: usize, filter: Filter) -> Answer<'static> {
    let ask = Ask { n, filter, ..Ask::new(RequestId::new(), query) };
    let answer = local(ServingMode::Personalized).answer(&ask).unwrap();
    assert_eq!(answer.request_id, ask.request_id);
    answer
}

fn rows(answer: &Answer<'_>) -> Vec<(u32, Source)> {
    answer.items.iter().map(|item| (item.id.trim_start_matches("item").parse().unwrap(), item.source)).collect()
}

/// All rows for which `keep` holds, by score, largest first, equal scores by row.
fn brute_force(score: impl Fn(u32) -> f32, keep: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..7).filter(|row| keep(*row)).collect();
    rows.sort_by(|x, y| score(*y).total_cmp(&score(*x)).then(x.cmp(y)));
    rows
}

fn product(row: u32) -> f32 {
    let [a, b] = ITEMS[row as usize];
    a * USER[0] + b * USER[1]
}

fn of(source: Source, rows: &[u32]) -> Vec<(u32, Source)> {
    rows.iter().map(|row| (*row, source)).collect()
}

#[test]
fn a_known_user_gets_the_best_unseen_and_available_items() {
    let expected = brute_force(product, |row| !SEEN.contains(&row) && row != UNAVAILABLE);
    for n in 1..=expected.len() {
        let answer = answer(user("user0"), n, Filter::default());
        assert_eq!(rows(&answer), of(Source::Model, &expected[..n]));
        for item in &answer.items {
            let row = item.id.trim_start_matches("item").parse().unwrap();
            assert_eq!((item.score, item.title.as_deref()), (product(row), Some(&*format!("Title {row}"))));
        }
    }
    let with_seen = answer(user("user0"), 7, Filter { include_seen: true, ..Filter::default() });
    assert_eq!(rows(&with_seen), of(Source::Model, &brute_force(product, |row| row != UNAVAILABLE)));
}

#[test]
fn the_filter_is_applied_before_the_list_is_cut() {
    let ids = |rows: &[u32]| rows.iter().map(|row| format!("item{row}")).collect::<Vec<_>>();
    let exclude = Filter { exclude: ids(&[1, 5, 99]), ..Filter::default() };
    let expected = brute_force(product, |row| ![0, 1, 4, 5, UNAVAILABLE].contains(&row));
    assert_eq!(rows(&answer(user("user0"), 2, exclude)), of(Source::Model, &expected));
    let candidates = Filter { candidates: Some(ids(&[2, 3, UNAVAILABLE, 99])), ..Filter::default() };
    let expected = brute_force(product, |row| [2, 3].contains(&row));
    assert_eq!(rows(&answer(user("user0"), 7, candidates)), of(Source::Model, &expected));
    let none = Filter { candidates: Some(Vec::new()), ..Filter::default() };
    assert_eq!(rows(&answer(user("user0"), 7, none)), []);
}

#[test]
fn popular_items_are_for_users_without_a_vector_and_never_repeat_an_item() {
    let expected: Vec<u32> = POPULAR.into_iter().filter(|row| *row != UNAVAILABLE).collect();
    for id in ["unknown", "user1"] {
        let answer = answer(user(id), 7, Filter::default());
        assert_eq!(rows(&answer), of(Source::Popular, &expected), "{id}");
        assert_eq!(answer.items[0].score, 9.0);
    }
    let ask = Ask { n: 3, ..Ask::new(RequestId::new(), user("user0")) };
    let only = local(ServingMode::PopularityOnly).answer(&ask).unwrap();
    assert_eq!(rows(&only), of(Source::Popular, &[1, 5, 2]));
    assert_eq!(only.parts[0].revision, "popularity", "the model that may not serve is not named");
    let history = vec![HistoryEntry { item: "item3".to_owned(), rating: None }];
    let folded = answer(Query::Recommend { user: None, history }, 7, Filter::default());
    assert_eq!(folded.items.len(), 5, "every available item but the history's");
    assert!(folded.items.iter().all(|item| item.source == Source::FoldIn && item.id != "item3"));
}

#[test]
fn similar_items_are_ordered_by_cosine() {
    let cosine = |row: u32| {
        let ([a, b], [c, d]) = (ITEMS[row as usize], ITEMS[3]);
        (a * c + b * d) / (a.hypot(b) * c.hypot(d))
    };
    let similar = |id: &str| Query::Similar { item: id.to_owned() };
    let expected = brute_force(cosine, |row| row != 3 && row != UNAVAILABLE);
    assert_eq!(rows(&answer(similar("item3"), 7, Filter::default())), of(Source::Similar, &expected));
    let only = local(ServingMode::PopularityOnly).answer(&Ask::new(RequestId::new(), similar("item1"))).unwrap();
    assert_eq!(rows(&only), of(Source::Popular, &[5, 2, 0, 3, 4]));
    let unknown = local(ServingMode::Personalized).answer(&Ask::new(RequestId::new(), similar("item99")));
    assert_eq!(unknown, Err(AnswerError::UnknownItem));
}

#[test]
fn the_parts_of_an_explained_score_add_up_to_it() {
    let history = ["item1", "item5"].map(|item| HistoryEntry { item: item.to_owned(), rating: Some(2.0) });
    let query = Query::Recommend { user: None, history: history.to_vec() };
    let ask = Ask { n: 3, explain: true, ..Ask::new(RequestId::new(), query) };
    let answer = local(ServingMode::Personalized).answer(&ask).unwrap();
    assert_eq!(answer.items.len(), 3);
    for item in &answer.items {
        let explanation = item.explanation.as_ref().unwrap();
        let sum: f32 = explanation.contributions.iter().map(|c| c.contribution).sum();
        assert!((sum + explanation.remainder - item.score).abs() < 1e-5, "{item:?}");
        assert!(explanation.contributions.iter().all(|c| ["item1", "item5"].contains(&&*c.id)));
        assert_eq!(explanation.baseline, None);
    }
    let popular = Ask { explain: true, ..Ask::new(RequestId::new(), user("unknown")) };
    let answer = local(ServingMode::Personalized).answer(&popular).unwrap();
    assert!(answer.items.iter().all(|item| item.explanation.is_none()));
}

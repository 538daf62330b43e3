//! Codes of items make lists faster and change nothing else; codes of other items are refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

use std::sync::Arc;

use answering::{
    Answer, Ask, DEFAULT_VARIANT, Filter, HistoryEntry, Local, Model, ModelError, Query, RequestId, ScoringError,
};
use catalogue::{Catalogue, CatalogueWriter};
use model_snapshot::{ItemCodes, Metadata, ModelParts, Seen, Snapshot, StringTable, write};
use ndarray::Array2;
use sidecar_contract::{Algorithm, AlsConfig, Digest, ServingMode, Signal};

const ITEMS: usize = 3000;
const FACTORS: usize = 128;
const USERS: usize = 4;

/// Reproducible numbers −1 to 1, larger for later rows.
fn matrix(rows: usize, step: usize) -> Array2<f32> {
    let number = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * j * step) % 2003) as f32 / 1001.0 - 1.0;
    Array2::from_shape_fn((rows, FACTORS), |(i, j)| number(i, j) * (1.0 + i as f32 / 300.0))
}

/// A model whose file has these codes.
fn model(codes: Option<&factorization::ItemCodes>) -> Result<Model, ModelError> {
    let names = |kind: &str, count: usize| -> StringTable { (0..count).map(|row| format!("{kind}{row}")).collect() };
    let (user_factors, item_factors) = (matrix(USERS, 17), matrix(ITEMS, 31));
    let gram = item_factors.mapv(f64::from).t().dot(&item_factors.mapv(f64::from));
    let config = AlsConfig { factors: 128, regularization: Some(0.1), ..AlsConfig::WIRE_DEFAULT };
    let metadata = Metadata {
        algorithm: Algorithm::Als(config),
        signal: Signal::Implicit,
        seed: 1,
        users: USERS as u64,
        items: ITEMS as u64,
        factors: FACTORS as u64,
        interactions: 0,
        mean_degree_weight: None,
        ratings: None,
        two_hop_entries: None,
        two_hop_first_square: None,
        two_hop_pair_items: None,
        cold_items: 0,
    };
    let item_codes = codes.map(|codes| {
        let factorization::CodeParts { order, codes, scales, bounds } = codes.parts();
        ItemCodes { order, codes, scales, bounds }
    });
    let parts = ModelParts {
        two_hop: None,
        metadata: &metadata,
        user_ids: &names("user", USERS),
        item_ids: &names("item", ITEMS),
        user_factors: user_factors.view(),
        item_factors: item_factors.view(),
        gram: gram.view(),
        biases: None,
        item_counts: &[0; ITEMS],
        popular_items: &[],
        seen: Seen { offsets: &[0; USERS + 1], items: &[], weights: None },
        item_codes,
    };
    let mut bytes = Vec::new();
    write(&parts, &mut bytes).unwrap();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    assert_eq!(snapshot.item_codes().is_some(), codes.is_some());
    Model::new(Digest::of(&bytes), snapshot, 7)
}

/// A model of which every fifth item is not available.
fn local(model: Model) -> Local {
    let mut writer = CatalogueWriter::new("v1", model.digest(), ITEMS).unwrap();
    for row in (0..u32::try_from(ITEMS).unwrap()).step_by(5) {
        writer.set_available(row, false);
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    let local = Local::new(Arc::new(model), DEFAULT_VARIANT, ServingMode::Personalized);
    local.with_catalogue(Some(Arc::new(Catalogue::from_bytes(&bytes).unwrap()))).unwrap()
}

fn items(answer: Answer<'_>) -> Vec<(String, u32)> {
    answer.items.into_iter().map(|item| (item.id.into_owned(), item.score.to_bits())).collect()
}

#[test]
fn lists_with_codes_equal_lists_without_them() {
    let codes = factorization::ItemCodes::new(matrix(ITEMS, 31).view(), None);
    assert!(codes.is_some(), "the catalogue is large enough for codes");
    let [with, without] = [codes.as_ref(), None].map(|codes| local(model(codes).unwrap()));
    let history = vec![HistoryEntry { item: "item7".to_owned(), rating: None }];
    let some =
        Filter { candidates: Some((0..90).map(|row| format!("item{}", row * 31)).collect()), ..Filter::default() };
    let exclude = Filter { exclude: (2000..3000).map(|row| format!("item{row}")).collect(), ..Filter::default() };
    for query in [
        Query::Recommend { user: Some("user2".to_owned()), history: Vec::new() },
        Query::Recommend { user: None, history },
        Query::Similar { item: "item2999".to_owned() },
    ] {
        for filter in [Filter::default(), some.clone(), exclude.clone()] {
            for n in [1, 20, 200] {
                let ask = Ask { n, filter: filter.clone(), ..Ask::new(RequestId::new(), query.clone()) };
                let [found, expected] = [&with, &without].map(|local| items(local.answer(&ask).unwrap()));
                assert!(!expected.is_empty());
                assert_eq!(found, expected, "{query:?} {filter:?} {n}");
            }
        }
    }
}

#[test]
fn codes_of_other_items_are_refused() {
    let codes = factorization::ItemCodes::new(matrix(ITEMS, 37).view(), None).unwrap();
    let error = model(Some(&codes)).unwrap_err();
    assert!(matches!(error, ModelError::Scoring(ScoringError::Codes(_))), "{error}");
    let message = "the snapshot's codes of items do not belong to its factors; train again";
    assert_eq!(error.to_string(), message);
}

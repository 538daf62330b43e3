//! Filters, candidates and pages, compared with a dense reference: every item by its score in a
//! scan without codes, less the items that a plain test of their values leaves out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // Tests may panic.
#![allow(clippy::cast_possible_truncation)] // Sizes of tests are small.

use std::sync::{Arc, LazyLock};

use answering::{
    Answer, AnswerError, Ask, DEFAULT_VARIANT, Filter, HistoryEntry, ListCache, Local, Lookups, Model, Page, Query,
    Reason, RequestId, Source, limits,
};
use catalogue::{Catalogue, CatalogueWriter, ColumnKind, Condition};
use model_snapshot::{ItemCodes, Metadata, ModelParts, Seen, Snapshot, StringTable, write};
use ndarray::Array2;
use proptest::prelude::*;
use sidecar_contract::{Algorithm, AlsConfig, Digest, ServingMode, Signal};

const ITEMS: usize = 4500;
const FACTORS: usize = 16;
const USERS: usize = 3;
/// Rows that nobody chose are not in the popularity ranking.
const POPULAR: usize = 4000;

/// Reproducible numbers −1 to 1. Rows repeat, so that scores are equal.
fn matrix(rows: usize, step: usize) -> Array2<f32> {
    let number = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * j * step) % 2003) as f32 / 1001.0 - 1.0;
    Array2::from_shape_fn((rows, FACTORS), |(i, j)| number(i % 1900, j) * (1.0 + (i % 1900) as f32 / 300.0))
}

fn seen(user: usize) -> Vec<u32> {
    (0..ITEMS as u32).filter(|row| row % 11 == user as u32).collect()
}

fn counts() -> Vec<u32> {
    (0..ITEMS as u32).map(|row| if (row as usize) < POPULAR { row * 31 % 97 + 1 } else { 0 }).collect()
}

fn popular() -> Vec<u32> {
    let counts = counts();
    let mut rows: Vec<u32> = (0..POPULAR as u32).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(counts[*row as usize]), *row));
    rows
}

fn snapshot_bytes(with_codes: bool) -> Vec<u8> {
    let names = |kind: &str, count: usize| -> StringTable { (0..count).map(|row| format!("{kind}{row}")).collect() };
    let (user_factors, item_factors) = (matrix(USERS, 17), matrix(ITEMS, 31));
    let gram = item_factors.mapv(f64::from).t().dot(&item_factors.mapv(f64::from));
    let rows: Vec<Vec<u32>> = (0..USERS).map(seen).collect();
    let mut offsets = vec![0];
    for row in &rows {
        offsets.push(offsets.last().unwrap() + row.len() as u64);
    }
    let metadata = Metadata {
        two_hop_entries: None,
        two_hop_first_square: None,
        two_hop_pair_items: None,
        algorithm: Algorithm::Als(AlsConfig { factors: 16, regularization: Some(0.1), ..AlsConfig::WIRE_DEFAULT }),
        signal: Signal::Implicit,
        seed: 1,
        users: USERS as u64,
        items: ITEMS as u64,
        factors: FACTORS as u64,
        interactions: rows.iter().map(Vec::len).sum::<usize>() as u64,
        mean_degree_weight: None,
        ratings: None,
        cold_items: 0,
    };
    let codes = factorization::ItemCodes::new(item_factors.view(), None).unwrap();
    let factorization::CodeParts { order, codes, scales, bounds } = codes.parts();
    let parts = ModelParts {
        two_hop: None,
        metadata: &metadata,
        user_ids: &names("user", USERS),
        item_ids: &names("item", ITEMS),
        user_factors: user_factors.view(),
        item_factors: item_factors.view(),
        gram: gram.view(),
        biases: None,
        item_counts: &counts(),
        popular_items: &popular(),
        seen: Seen { offsets: &offsets, items: &rows.concat(), weights: None },
        item_codes: with_codes.then_some(ItemCodes { order, codes, scales, bounds }),
    };
    let mut bytes = Vec::new();
    write(&parts, &mut bytes).unwrap();
    bytes
}

fn is_available(row: u32) -> bool {
    row % 13 != 5
}

fn genre(row: u32) -> u32 {
    row * 7 % 10
}

/// 450 values of ten items each, and no value.
fn brand(row: u32) -> Option<u32> {
    (!row.is_multiple_of(8)).then_some(row % 450)
}

fn price(row: u32) -> u32 {
    row * 37 % 1000
}

fn catalogue(revision: &Digest, items: usize) -> Catalogue {
    let mut writer = CatalogueWriter::new("v7", revision, items).unwrap();
    let genres = writer.column("genre", ColumnKind::Category).unwrap();
    let brands = writer.column("brand", ColumnKind::Category).unwrap();
    let prices = writer.column("price", ColumnKind::Number).unwrap();
    for row in 0..items as u32 {
        writer.set_title(row, &format!("Title {row}")).unwrap();
        writer.set_available(row, is_available(row));
        writer.add_value(genres, row, &genre(row).to_string()).unwrap();
        if let Some(brand) = brand(row) {
            writer.add_value(brands, row, &brand.to_string()).unwrap();
        }
        writer.set_number(prices, row, price(row).into()).unwrap();
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    Catalogue::from_bytes(&bytes).unwrap()
}

fn model(with_codes: bool) -> Arc<Model> {
    let bytes = snapshot_bytes(with_codes);
    Arc::new(Model::new(Digest::of(&bytes), Snapshot::from_bytes(&bytes).unwrap(), 7).unwrap())
}

fn with_catalogue(model: Arc<Model>) -> Local {
    let catalogue = Arc::new(catalogue(model.digest(), ITEMS));
    Local::new(model, DEFAULT_VARIANT, ServingMode::Personalized).with_catalogue(Some(catalogue)).unwrap()
}

static LOCAL: LazyLock<Local> = LazyLock::new(|| with_catalogue(model(true)));
/// Without codes, catalogue or availability.
static DENSE: LazyLock<Local> = LazyLock::new(|| Local::new(model(false), DEFAULT_VARIANT, ServingMode::Personalized));

/// A question in plain values.
#[derive(Clone, Debug)]
struct Question {
    query: Query,
    seen: Vec<u32>,
    genres: Option<Vec<u32>>,
    not_genres: Vec<u32>,
    brands: Option<Vec<u32>>,
    prices: Option<(u32, u32)>,
    exclude: Vec<u32>,
    candidates: Option<Vec<u32>>,
}

impl Question {
    fn satisfies(&self, row: u32) -> bool {
        self.genres.as_ref().is_none_or(|genres| genres.contains(&genre(row)))
            && !self.not_genres.contains(&genre(row))
            && self.brands.as_ref().is_none_or(|brands| brand(row).is_some_and(|brand| brands.contains(&brand)))
            && self.prices.is_none_or(|(min, max)| (min..=max).contains(&price(row)))
    }

    fn passes(&self, row: u32) -> bool {
        is_available(row)
            && self.satisfies(row)
            && !self.exclude.contains(&row)
            && !self.seen.contains(&row)
            && self.candidates.as_ref().is_none_or(|candidates| candidates.contains(&row))
    }

    fn ask(&self, n: usize, page: Page) -> Ask {
        let mut matching = catalogue::Filter::default();
        let texts = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>();
        if let Some(genres) = &self.genres {
            matching.push("genre".to_owned(), Condition::AnyOf(texts(genres)));
        }
        if !self.not_genres.is_empty() {
            matching.push("genre".to_owned(), Condition::NoneOf(texts(&self.not_genres)));
        }
        if let Some(brands) = &self.brands {
            matching.push("brand".to_owned(), Condition::AnyOf(texts(brands)));
        }
        if let Some((min, max)) = self.prices {
            let (min, max) = (Some(min.to_string()), Some(max.to_string()));
            matching.push("price".to_owned(), Condition::Range { min, max });
        }
        let filter = Filter {
            exclude: ids(&self.exclude),
            candidates: self.candidates.as_deref().map(ids),
            matching,
            include_seen: self.seen.is_empty(),
        };
        Ask { n, filter, page, ..Ask::new(RequestId::new(), self.query.clone()) }
    }

    /// Every item that the list may have, in order.
    fn reference(&self) -> Vec<(u32, u32, Source)> {
        let filter = Filter { include_seen: true, ..Filter::default() };
        let ask = Ask { n: ITEMS, filter, ..Ask::new(RequestId::new(), self.query.clone()) };
        let all = listed(&DENSE.answer(&ask).unwrap());
        all.into_iter().filter(|(row, ..)| self.passes(*row)).collect()
    }
}

fn ids(rows: &[u32]) -> Vec<String> {
    rows.iter().map(|row| format!("item{row}")).collect()
}

/// Row, bits of the score and source of each item.
fn listed(answer: &Answer<'_>) -> Vec<(u32, u32, Source)> {
    let row = |id: &str| id.trim_start_matches("item").parse().unwrap();
    answer.items.iter().map(|item| (row(&item.id), item.score.to_bits(), item.source)).collect()
}

fn questions() -> impl Strategy<Value = Question> {
    let rows = |most: usize| prop::collection::vec(0..ITEMS as u32, 0..most);
    let numbers = |end: u32, most: usize| prop::collection::vec(0..end, 1..most);
    let target = prop_oneof![
        (0..USERS).prop_map(|user| (Some(user), Vec::new(), None)),
        numbers(ITEMS as u32, 5).prop_map(|history| (None, history, None)),
        Just((Some(99), Vec::new(), None)),
        (0..ITEMS as u32).prop_map(|item| (None, Vec::new(), Some(item))),
    ];
    let filters = (
        prop::option::of(numbers(10, 6)),
        prop_oneof![Just(Vec::new()), numbers(10, 3)],
        prop::option::weighted(0.3, numbers(450, 30)),
        prop::option::of((0..1000_u32, 0..1000_u32).prop_map(|(a, b)| (a.min(b), a.max(b)))),
    );
    (target, any::<bool>(), filters, rows(30), prop::option::weighted(0.2, rows(300))).prop_map(
        |((user, history, item), with_seen, (genres, not_genres, brands, prices), mut exclude, candidates)| {
            let query = match item {
                Some(item) => Query::Similar { item: format!("item{item}") },
                None => Query::Recommend {
                    user: user.map(|user| format!("user{user}")),
                    history: ids(&history).into_iter().map(|item| HistoryEntry { item, rating: None }).collect(),
                },
            };
            // The reference leaves out the items of the query, too.
            exclude.extend(history.iter().chain(&item));
            let seen = user.filter(|user| with_seen && *user < USERS).map(seen).unwrap_or_default();
            Question { query, seen, genres, not_genres, brands, prices, exclude, candidates }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn filtered_lists_and_their_pages_equal_the_dense_reference(question in questions(), n in 1..60_usize) {
        // An empty list of seen items includes the seen.
        let expected = question.reference();
        let answer = LOCAL.answer(&question.ask(n, Page::Only)).unwrap();
        let mut first = expected.clone();
        if question.candidates.is_some() && expected.first().is_none_or(|item| item.2 == Source::Popular) {
            // Candidates that nobody chose come last.
            let rest = |row: &u32| question.passes(*row) && !expected.iter().any(|(listed, ..)| listed == row);
            first.extend((0..ITEMS as u32).filter(rest).map(|row| (row, 0, Source::Popular)));
        }
        prop_assert_eq!(listed(&answer), &first[..n.min(first.len())]);
        prop_assert_eq!(&answer.next, &None);
        // The second request prepares the set of the filter, and the third finds it.
        for _ in 0..2 {
            prop_assert_eq!(&LOCAL.answer(&question.ask(n, Page::Only)).unwrap().items, &answer.items);
        }

        if question.candidates.is_none() {
            let (mut pages, mut page) = (Vec::new(), Page::First);
            for more in 0..4 {
                let answer = LOCAL.answer(&question.ask(n + more, page)).unwrap();
                pages.extend(listed(&answer));
                let Some(next) = answer.next else { break };
                page = Page::After(next);
            }
            let all = expected.len().min(4 * n + 6);
            prop_assert_eq!(pages, &expected[..all]);
        }
    }

    #[test]
    fn candidates_of_an_unknown_user_are_in_the_order_of_all_popular_items(
        candidates in prop::collection::vec(0..ITEMS as u32, 0..300),
        n in 1..300_usize,
    ) {
        let query = Query::Recommend { user: Some("nobody".to_owned()), history: Vec::new() };
        let counts = counts();
        let unranked = (0..ITEMS as u32).filter(|row| counts[*row as usize] == 0);
        let order: Vec<u32> = popular().into_iter().chain(unranked).collect();
        let among = order.into_iter().filter(|row| candidates.contains(row) && is_available(*row));
        let expected: Vec<u32> = among.take(n).collect();
        let filter = Filter { candidates: Some(ids(&candidates)), ..Filter::default() };
        let answer = LOCAL.answer(&Ask { n, filter, ..Ask::new(RequestId::new(), query) }).unwrap();
        let found: Vec<u32> = listed(&answer).into_iter().map(|(row, ..)| row).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_short_list_has_the_number_of_matches(question in questions()) {
        let answer = LOCAL.answer(&question.ask(ITEMS, Page::Only)).unwrap();
        let has_conditions = !question.ask(1, Page::Only).filter.matching.is_empty();
        let matches = (0..ITEMS as u32).filter(|row| is_available(*row) && question.satisfies(*row)).count();
        prop_assert_eq!(answer.matches, has_conditions.then_some(matches));
    }

    #[test]
    fn candidates_that_are_left_out_have_a_reason(question in questions(), n in 1..200_usize) {
        let Some(candidates) = &question.candidates else { return Ok(()) };
        let mut ask = question.ask(n, Page::Only);
        ask.filter.candidates.as_mut().unwrap().insert(0, "nothing".to_owned());
        let answer = LOCAL.answer(&ask).unwrap();
        let in_list: Vec<u32> = listed(&answer).iter().map(|item| item.0).collect();
        let mut expected = vec![("nothing".to_owned(), Reason::Unknown)];
        let mut named = Vec::new();
        for row in candidates.iter().filter(|row| !in_list.contains(row)) {
            let reason = match () {
                () if question.exclude.contains(row) => Reason::Excluded,
                () if question.seen.contains(row) => Reason::Seen,
                () if !is_available(*row) => Reason::Unavailable,
                () if !question.satisfies(*row) => Reason::Filtered,
                () => Reason::BeyondN,
            };
            if !named.contains(row) {
                expected.push((format!("item{row}"), reason));
                named.push(*row);
            }
        }
        let found: Vec<_> = answer.left_out.into_iter().map(|left_out| (left_out.id, left_out.reason)).collect();
        prop_assert_eq!(found, expected);
    }
}

fn user() -> Query {
    Query::Recommend { user: Some("user1".to_owned()), history: Vec::new() }
}

#[test]
fn titles_and_availability_are_those_of_the_catalogue() {
    let answer = LOCAL.answer(&Ask { n: 1000, ..Ask::new(RequestId::new(), user()) }).unwrap();
    for item in &answer.items {
        assert_eq!(item.title, Some(item.id.replace("item", "Title ").into()));
    }
    assert_eq!(answer.parts[0].catalogue.as_deref(), Some("v7"));
    let without = LOCAL.with_catalogue(None).unwrap();
    let answer = without.answer(&Ask::new(RequestId::new(), user())).unwrap();
    assert_eq!(answer.items[0].title, None);
    assert_eq!(answer.parts[0].catalogue, None);
    let model = LOCAL.model();
    for other in [catalogue(&Digest::of(b""), ITEMS), catalogue(model.digest(), ITEMS - 1)] {
        assert!(LOCAL.with_catalogue(Some(Arc::new(other))).is_err());
    }
}

/// A file that `recmesh-sidecar train` wrote when snapshots had titles and availability: of `item00`
/// to `item10`, item N has N + 1 users, every third is not available, and `item04` has no title.
#[test]
fn a_former_snapshot_has_its_titles_until_it_has_a_catalogue() {
    let bytes = include_bytes!("former.safetensors");
    let model = Model::new(Digest::of(bytes), Snapshot::from_bytes(bytes).unwrap(), 7).unwrap();
    let local = Local::new(Arc::new(model), DEFAULT_VARIANT, ServingMode::Personalized);
    let row = |id: &str| local.model().snapshot().item_index(id).unwrap();
    assert_eq!((local.title(row("item01")), local.title(row("item04"))), (Some("Title ☕ 1"), None));
    assert_eq!((local.is_available(row("item00")), local.is_available(row("item01"))), (false, true));
    let query = Query::Recommend { user: None, history: Vec::new() };
    let listed = local.answer(&Ask { n: 11, ..Ask::new(RequestId::new(), query) }).unwrap();
    let ids: Vec<&str> = listed.items.iter().map(|item| &*item.id).collect();
    assert_eq!(ids, ["item10", "item08", "item07", "item05", "item04", "item02", "item01"], "by popularity");
    let replaced = catalogue(local.model().digest(), 11);
    let local = local.with_catalogue(Some(Arc::new(replaced))).unwrap();
    assert_eq!((local.title(1), local.is_available(0), local.is_available(5)), (Some("Title 1"), true, false));
}

#[test]
fn conditions_are_never_ignored() {
    let with = |column: &str, condition: Condition| {
        let mut matching = catalogue::Filter::default();
        matching.push(column.to_owned(), condition);
        Ask { filter: Filter { matching, ..Filter::default() }, ..Ask::new(RequestId::new(), user()) }
    };
    let any = |value: &str| Condition::AnyOf(vec![value.to_owned()]);
    assert!(matches!(LOCAL.answer(&with("gender", any("1"))), Err(AnswerError::Filter(_))));
    assert!(matches!(LOCAL.answer(&with("genre", any("10"))), Err(AnswerError::Filter(_))));
    let without = LOCAL.with_catalogue(None).unwrap();
    assert_eq!(without.answer(&with("genre", any("1"))), Err(AnswerError::NoCatalogue));
    // The cache keeps lists without conditions only.
    let cached = LOCAL.with_cache(ListCache::new(1 << 20, Arc::new(Lookups::default())));
    let plain = Ask::new(RequestId::new(), user());
    let all = cached.answer(&plain).unwrap().items;
    let comedies = cached.answer(&with("genre", any("3"))).unwrap().items;
    assert_ne!(all, comedies);
    assert_eq!(cached.answer(&plain).unwrap().items, all);
    let popularity = LOCAL.with_mode(ServingMode::PopularityOnly);
    let answer = popularity.answer(&with("genre", any("3"))).unwrap();
    let rows = listed(&answer);
    assert!(rows.len() == 10 && rows.iter().all(|item| genre(item.0) == 3 && item.2 == Source::Popular));
}

#[test]
fn sets_of_repeated_filters_are_kept_within_their_bound() {
    let local = with_catalogue(model(true));
    let bound = local.model().snapshot().size_bytes() / limits::FILTER_CACHE_MODEL_DIVISOR;
    let ask = |column: &str, value: u32| {
        let mut matching = catalogue::Filter::default();
        matching.push(column.to_owned(), Condition::AnyOf(vec![value.to_string()]));
        Ask { filter: Filter { matching, ..Filter::default() }, ..Ask::new(RequestId::new(), user()) }
    };
    local.answer(&Ask::new(RequestId::new(), user())).unwrap();
    assert_eq!(local.cached_bytes(), 0, "no filter");
    let first = local.answer(&ask("genre", 3)).unwrap().items;
    let seen = local.cached_bytes();
    assert!((1..1000).contains(&seen), "{seen}");
    assert_eq!(local.answer(&ask("genre", 3)).unwrap().items, first);
    let kept = local.cached_bytes();
    // A bit for each item, and at least another one by their places.
    assert!(kept > seen + 2 * ITEMS as u64 / 8, "{kept}");
    assert_eq!(local.answer(&ask("genre", 3)).unwrap().items, first);
    assert_eq!(local.cached_bytes(), kept);
    let mut most = 0;
    for brand in 0..450 {
        let lists = [(); 3].map(|()| local.answer(&ask("brand", brand)).unwrap().items);
        assert!(lists[0] == lists[1] && lists[0] == lists[2], "{brand}");
        most = most.max(local.cached_bytes());
    }
    assert!((bound / 2..=bound).contains(&most), "{most} of {bound}");
    assert_eq!(local.with_catalogue(local.catalogue().cloned()).unwrap().cached_bytes(), 0);
}

#[test]
fn a_list_is_continued_after_the_catalogue_changed_and_not_after_the_model_did() {
    let first = LOCAL.answer(&Ask { page: Page::First, ..Ask::new(RequestId::new(), user()) }).unwrap();
    let next = Ask { page: Page::After(first.next.clone().unwrap()), ..Ask::new(RequestId::new(), user()) };
    let other = LOCAL.with_catalogue(None).unwrap();
    let second = other.answer(&next).unwrap();
    assert!(second.items.iter().all(|item| !first.items.contains(item)));
    let revision = LOCAL.model().digest().revision().to_owned();
    assert_eq!(DENSE.answer(&next), Err(AnswerError::CursorGone { revision: revision.clone() }));
    let popularity = LOCAL.with_mode(ServingMode::PopularityOnly);
    assert_eq!(popularity.answer(&next), Err(AnswerError::CursorGone { revision }));
}

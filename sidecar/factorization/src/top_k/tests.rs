//! The scan by codes equals the flat scan: items, order and the bits of scores.

use std::cell::Cell;

use ndarray::Array2;
use proptest::prelude::*;

use super::{
    Catalogue, CodeParts, Codes, CodesError, ItemBits, ItemCodes, KeptItems, Scored,
    allowances::Allowances,
    bound::QueryCode,
    cascade::{self, Search},
    flat,
    kernel::{Input, survivors},
    layout::{BLOCK_ITEMS, block_bytes, blocks},
    score::Scoring,
    subset::{self, Places},
};
use crate::lanes::dots;

thread_local! {
    static FLAT_SCAN_IS_ALLOWED: Cell<bool> = const { Cell::new(true) };
}

/// Panics where a test forbids the flat scan.
pub(super) fn assert_flat_scan_is_allowed() {
    assert!(FLAT_SCAN_IS_ALLOWED.get(), "a search by codes fell back to the flat scan");
}

fn without_flat_scans<T>(run: impl FnOnce() -> T) -> T {
    FLAT_SCAN_IS_ALLOWED.set(false);
    let result = run();
    FLAT_SCAN_IS_ALLOWED.set(true);
    result
}

/// Items and scores as bits.
fn bits(list: &[Scored]) -> Vec<(u32, u32)> {
    list.iter().map(|scored| (scored.item, scored.score.to_bits())).collect()
}

/// A catalogue with everything that can be added to a score.
#[derive(Clone, Debug)]
struct Case {
    factors: Array2<f32>,
    queries: Vec<Vec<f32>>,
    biases: Option<Vec<f32>>,
    addends: Option<Vec<f32>>,
    n: usize,
    /// One in so many items is excluded, at another offset for each query; 0: none.
    excluded: u32,
}

impl Case {
    fn keep(&self, query: usize, item: u32) -> bool {
        self.excluded == 0 || !(item + u32::try_from(query).unwrap()).is_multiple_of(self.excluded)
    }

    /// Compares both scans, by product and by cosine.
    fn check(&self) {
        let items = self.factors.nrows();
        let rows = self.factors.as_slice().unwrap();
        let codes = ItemCodes::of_any_size(self.factors.view(), self.biases.as_deref()).unwrap();
        let codes = codes.codes();
        let addends = self.addends.as_deref();
        let queries: Vec<&[f32]> = self.queries.iter().map(Vec::as_slice).collect();
        let scorings = std::iter::once(Scoring::Product { biases: self.biases.as_deref(), addends });
        let cosines = queries.iter().map(|query| Scoring::Cosine { query_length: super::norm(query) });
        for scoring in scorings.chain(cosines) {
            let keep = |query: usize, item: u32| self.keep(query, item);
            let expected = flat::scan(&queries, rows, items, (self.n, None), keep, scoring);
            let searches = queries.iter().map(|query| Search::new(query, scoring, self.n, &codes).unwrap()).collect();
            let found = cascade::scan(searches, &codes, rows, keep);
            for ((found, _), expected) in found.iter().zip(&expected) {
                assert_eq!(bits(found), bits(expected), "{self:?}");
            }
            if scoring.addends_alone().is_some() {
                self.check_scans_with_addends(&codes, scoring, &expected);
            }
            self.check_subsets(&codes, scoring);
        }
    }

    /// Compares searches that check after few blocks whether few of the remaining items may reach the
    /// list.
    fn check_scans_with_addends(&self, codes: &Codes<'_>, scoring: Scoring<'_>, expected: &[Vec<Scored>]) {
        let (rows, places) = (self.factors.as_slice().unwrap(), Places::default());
        for (index, (query, expected)) in self.queries.iter().zip(expected).enumerate() {
            for blocks in 0..3 {
                let search = Search::new(query, scoring, self.n, codes).unwrap();
                let keep = |item: u32| self.keep(index, item);
                let (found, _) = cascade::scan_with_addends((search, blocks), codes, places.of(codes), rows, &keep);
                assert_eq!(bits(&found), bits(expected), "{blocks} blocks: {self:?}");
            }
        }
    }
}

impl Case {
    /// Compares searches of some items: few of each block, whole blocks and none of others, those
    /// of least norm, and none.
    fn check_subsets(&self, codes: &Codes<'_>, scoring: Scoring<'_>) {
        let (items, rows) = (u32::try_from(self.factors.nrows()).unwrap(), self.factors.as_slice().unwrap());
        let places = Places::default();
        let scattered: Vec<u32> = (0..items).filter(|item| item % 7 == 3).collect();
        let of_order = |from: usize, count: usize| {
            let mut some: Vec<u32> = codes.order().iter().skip(from).take(count).copied().collect();
            some.sort_unstable();
            some
        };
        let dense = of_order(BLOCK_ITEMS / 2, BLOCK_ITEMS * 2);
        let least = of_order(items as usize * 3 / 4, items as usize);
        for some in [scattered, dense, least, Vec::new()] {
            let words = words(&some, items);
            let bits_of = ItemBits(&words);
            let forms = [KeptItems::new(bits_of, codes, usize::MAX), KeptItems::new(bits_of, codes, 0)];
            for (index, query) in self.queries.iter().enumerate() {
                let keep = |item: u32| self.keep(index, item);
                let among = |_, item: u32| some.binary_search(&item).is_ok() && keep(item);
                let expected = flat::scan(&[query], rows, items as usize, (self.n, None), among, scoring);
                let search = || Search::new(query, scoring, self.n, codes).unwrap();
                let few = cascade::scan(vec![search().among(Some(bits_of))], codes, rows, among).remove(0);
                let listed = subset::scan(search(), &some, places.of(codes), codes, rows, &keep);
                let [packed, blocks] = forms.each_ref().map(|kept| kept.scan(search(), codes, rows, &keep));
                for (which, (found, _)) in [("few", few), ("listed", listed), ("packed", packed), ("blocks", blocks)] {
                    assert_eq!(bits(&found), bits(&expected[0]), "{which}: {some:?} {self:?}");
                }
            }
        }
    }
}

/// A bit for each of some items.
fn words(some: &[u32], items: u32) -> Vec<u64> {
    let mut words = vec![0; items.div_ceil(64) as usize];
    for item in some {
        words[*item as usize / 64] |= 1 << (item % 64);
    }
    words
}

/// Factors of every kind: small integers, whose products tie; numbers of any size; and 0.
fn factor() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => (-3_i8..=3).prop_map(f32::from),
        4 => -1.0_f32..1.0,
        1 => Just(0.0_f32),
        1 => Just(-0.0_f32),
        1 => any::<f32>().prop_map(|x| if x.abs() < 1e15 { x } else { 1e-30 }),
        1 => (1_u32..1000).prop_map(f32::from_bits),
    ]
}

/// Rows of one kind of factors: all as [`factor`], or small integers, or one size for each row.
fn rows(rows: impl Into<prop::collection::SizeRange>, factors: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let integers = prop::collection::vec((-2_i8..=2).prop_map(f32::from), factors);
    let sized = (prop::collection::vec(-1.0_f32..1.0, factors), -60_i32..40)
        .prop_map(|(row, exponent)| row.into_iter().map(|x| x * 2.0_f32.powi(exponent)).collect());
    let any = prop::collection::vec(factor(), factors);
    prop::collection::vec(prop_oneof![integers, sized, any], rows)
}

prop_compose! {
    fn cases()(factors in 1_usize..40, items in 0_usize..200)(
        items in rows(items, factors),
        queries in rows(1..4, factors),
        factors in Just(factors),
        numbers in prop::collection::vec((-3.0_f32..3.0, 0.0_f32..2.0), 200),
        has_biases in any::<bool>(),
        has_addends in any::<bool>(),
        copies in 1_usize..3,
        n in 0_usize..80,
        excluded in 0_u32..4,
    ) -> Case {
        let items: Vec<Vec<f32>> = items.iter().chain(items.iter().take(items.len() * (copies - 1))).cloned().collect();
        let number = |i: usize| numbers[i % numbers.len()];
        Case {
            factors: Array2::from_shape_vec((items.len(), factors), items.concat()).unwrap(),
            queries,
            biases: has_biases.then(|| (0..items.len()).map(|i| number(i).0).collect()),
            addends: has_addends.then(|| (0..items.len()).map(|i| number(i).1).collect()),
            n,
            excluded,
        }
    }
}

proptest! {
    #[test]
    fn a_scan_by_codes_equals_the_flat_scan(case in cases()) {
        case.check();
    }
}

/// Number of items that a scan misses when it asks for exactly their score. `change` may break the
/// bounds.
fn missed(factors: &Array2<f32>, query: &[f32], change: impl Fn(u32) -> u32) -> usize {
    let codes = ItemCodes::of_any_size(factors.view(), None).unwrap();
    let codes = codes.codes();
    let query_code = QueryCode::new(query).unwrap();
    let integers = crate::simd::integers();
    let is_missed = |block: usize, at: usize, item: u32| {
        let mut product_min = [0.0];
        dots(query, factors.row(item as usize).to_slice().unwrap(), &mut product_min);
        let (coded, bound) = (codes.block(block), codes.bound(block));
        let scales = std::array::from_fn(|at| change(coded.scales.get(at).copied().unwrap_or(0)));
        let (slack, [product_min]) = (query_code.slack(&bound), product_min);
        let input = Input {
            query: &query_code,
            codes: coded.codes,
            scales: &scales,
            slack,
            product_min,
            allowances: &Allowances::NONE.items,
        };
        !query_code.reaches(&bound, product_min) || survivors(input, integers) >> at & 1 == 0
    };
    let of_block = |block: usize| codes.block(block).order.iter().enumerate().map(move |(at, &item)| (block, at, item));
    (0..codes.blocks()).flat_map(of_block).filter(|&(block, at, item)| is_missed(block, at, item)).count()
}

proptest! {
    #[test]
    fn no_score_exceeds_its_bound(case in cases()) {
        for query in &case.queries {
            prop_assert_eq!(missed(&case.factors, query, |scale| scale), 0);
        }
    }
}

#[test]
fn the_residual_is_a_necessary_part_of_the_bound() {
    let (factors, query) = (matrix(300, 20), (0..20).map(|j| number(j, 3)).collect::<Vec<_>>());
    assert_eq!(missed(&factors, &query, |scale| scale), 0);
    // Without residuals the estimate is as often too low as too high.
    let missed = missed(&factors, &query, |scale| scale & 0xffff_0000);
    assert!((50..250).contains(&missed), "{missed}");
}

/// Reproducible numbers −1 to 1.
fn number(i: usize, j: usize) -> f32 {
    ((i * 7919 + j * 104_729 + i * j * 31) % 2003) as f32 / 1001.0 - 1.0
}

fn matrix(items: usize, factors: usize) -> Array2<f32> {
    Array2::from_shape_fn((items, factors), |(i, j)| number(i, j) * (1.0 + i as f32 / 64.0))
}

/// Items of which each has another norm, with few addends that matter: a search finds those in
/// blocks whose codes it does not read.
#[test]
fn items_with_large_addends_are_found_without_the_codes_of_their_blocks() {
    let (items, factors) = (64 * BLOCK_ITEMS, 16);
    let matrix = Array2::from_shape_fn((items, factors), |(i, j)| number(i, j) / (1.0 + i as f32 / 64.0));
    let query: Vec<f32> = (0..factors).map(|j| number(j, 3)).collect();
    let addends: Vec<f32> = (0..items).map(|i| if i % 500 == 499 { 3.0 } else { number(i, 5).abs() / 64.0 }).collect();
    let codes = ItemCodes::of_any_size(matrix.view(), None).unwrap();
    let places = Places::default();
    let catalogue = Catalogue::new(matrix.view()).with_addends(Some(&addends));
    let expected = catalogue.best(&query, 10, |_| true);
    assert!(expected.iter().any(|scored| scored.item > 3000), "{expected:?}");
    let catalogue = catalogue.with_codes(Some(codes.codes())).with_places(Some(&places));
    let (found, counts) = catalogue.counted(&[&query], 10, |_, _| true).remove(0);
    assert_eq!(bits(&found), bits(&expected));
    assert!(counts.coded <= items / 2, "{counts:?}");
}

#[test]
fn every_size_around_the_borders_of_blocks_groups_and_sums_is_exact() {
    for items in [1, 63, 64, 65, 127, 128, 129, 1000] {
        for factors in [1, 3, 4, 5, 31, 32, 33, 64, 65, 130] {
            let queries = (0..2).map(|query| (0..factors).map(|j| number(j + 13, query + 1)).collect()).collect();
            let case =
                Case { factors: matrix(items, factors), queries, biases: None, addends: None, n: 10, excluded: 3 };
            case.check();
        }
    }
}

#[test]
fn extreme_sums_fit_the_lanes_of_sixteen_bits() {
    // Every code is 15 or 0 and every factor of the query ±127.
    for sign in [1.0, -1.0] {
        let factors = Array2::from_shape_fn((130, 1024), |(i, _)| if i % 2 == 0 { sign } else { -sign });
        let queries = vec![vec![1.0; 1024], (0..1024).map(|j| if j % 2 == 0 { 1.0 } else { -1.0 }).collect()];
        Case { factors, queries, biases: None, addends: None, n: 70, excluded: 0 }.check();
    }
}

#[test]
fn a_large_catalogue_is_never_scanned_flat() {
    let (items, factors) = (5000, 16);
    let matrix = matrix(items, factors);
    let codes = ItemCodes::new(matrix.view(), None).unwrap();
    let catalogue = Catalogue::new(matrix.view()).with_codes(Some(codes.codes()));
    let flat = Catalogue::new(matrix.view());
    let queries: Vec<Vec<f32>> = (0..5).map(|q| (0..factors).map(|j| number(j + 3, q)).collect()).collect();
    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    let lists = without_flat_scans(|| catalogue.counted(&queries, 20, |query, item| item as usize % 7 != query));
    let expected = flat.best_for_each(&queries, 20, |query, item| item as usize % 7 != query);
    for ((list, counts), expected) in lists.iter().zip(&expected) {
        assert_eq!(bits(list), bits(expected));
        assert!(counts.scored < items / 4 && counts.coded <= items + BLOCK_ITEMS, "{counts:?}");
    }
    let similar = without_flat_scans(|| catalogue.similar(4321, 20, |item| item % 2 == 0));
    assert_eq!(bits(&similar), bits(&flat.similar(4321, 20, |item| item % 2 == 0)));
    let similar_of = without_flat_scans(|| catalogue.similar_of(&[3, 5, 4321, 4999], 4321, 20, |item| item != 5));
    assert_eq!(bits(&similar_of), bits(&flat.similar(4321, 20, |item| item == 3 || item == 4999)));
    let some: Vec<u32> = (0..5000).step_by(17).collect();
    let words = words(&some, 5000);
    for packed_bytes_max in [0, usize::MAX] {
        let kept = catalogue.kept(ItemBits(&words), packed_bytes_max).unwrap();
        let of_some = |item: u32| item.is_multiple_of(17) && item != 34;
        let best = without_flat_scans(|| catalogue.best_kept(&kept, queries[0], 5, |item| item != 34));
        assert_eq!(bits(&best), bits(&flat.best(queries[0], 5, of_some)));
        let similar = without_flat_scans(|| catalogue.similar_kept(&kept, 4321, 20, |item| item != 34));
        assert_eq!(bits(&similar), bits(&flat.similar(4321, 20, of_some)));
        // Too long for bounds: every item of the set is scored.
        let long: Vec<f32> = queries[0].iter().map(|x| x * 1e19).collect();
        let best = catalogue.best_kept(&kept, &long, 5, |item| item != 34);
        assert_eq!(bits(&best), bits(&flat.best(&long, 5, of_some)));
    }
    let best_of = without_flat_scans(|| catalogue.best_of(&some, queries[0], 5, |item| item != 17));
    assert_eq!(bits(&best_of), bits(&flat.best(queries[0], 5, |item| item.is_multiple_of(17) && item != 17)));
}

#[test]
fn pages_continue_a_list_without_gaps_or_repeats() {
    let (items, factors) = (5000, 16);
    // Every row is there three times, so that scores are equal across the ends of pages.
    let matrix = Array2::from_shape_fn((items, factors), |(i, j)| number(i % 1700, j));
    let codes = ItemCodes::new(matrix.view(), None).unwrap();
    let query: Vec<f32> = (0..factors).map(|j| number(j + 3, 1)).collect();
    let keep = |item: u32| item % 3 != 1;
    let addends: Vec<f32> = (0..items).map(|i| number(i % 1700, 5).max(0.0)).collect();
    let some: Vec<u32> = (0..5000).step_by(7).collect();
    for (has_codes, addends) in [(false, None), (true, None), (true, Some(addends.as_slice()))] {
        let flat = Catalogue::new(matrix.view()).with_addends(addends);
        let catalogue = flat.clone().with_codes(has_codes.then(|| codes.codes()));
        let kept = catalogue.kept(ItemBits(&words(&some, 5000)), usize::MAX);
        assert_eq!(kept.is_some(), has_codes);
        let expected = flat.best(&query, 100, keep);
        let (mut pages, mut of, mut similar) = (Vec::new(), Vec::new(), Vec::new());
        for n in [10, 25, 1, 64] {
            pages.extend(catalogue.clone().after(pages.last().copied()).best(&query, n, keep));
            let after = catalogue.clone().after(of.last().copied());
            let listed = after.best_of(&some, &query, n, keep);
            if let Some(kept) = &kept {
                assert_eq!(bits(&after.best_kept(kept, &query, n, keep)), bits(&listed));
            }
            of.extend(listed);
            similar.extend(catalogue.clone().after(similar.last().copied()).similar(4000, n, keep));
        }
        assert_eq!(bits(&pages), bits(&expected));
        assert_eq!(bits(&of), bits(&flat.best(&query, 100, |item| keep(item) && item.is_multiple_of(7))));
        assert_eq!(bits(&similar), bits(&flat.similar(4000, 100, keep)));
        let last = flat.best(&query, 5000, keep).last().copied();
        assert_eq!(catalogue.after(last).best(&query, 10, keep), []);
    }
}

#[test]
fn norms_beyond_the_bounds_have_no_codes_and_queries_beyond_them_are_scanned_flat() {
    let mut matrix = matrix(200, 4);
    assert!(QueryCode::new(&[1e19, 0.0]).is_none() && QueryCode::new(&[f32::NAN]).is_none());
    matrix[(7, 2)] = 1e18;
    assert!(ItemCodes::of_any_size(matrix.view(), None).is_none());
    matrix[(7, 2)] = f32::INFINITY;
    assert!(ItemCodes::of_any_size(matrix.view(), None).is_none());
    assert!(ItemCodes::of_any_size(super::tests::matrix(200, 4).view(), Some(&[f32::NAN; 200])).is_none());
}

#[test]
fn wrong_codes_are_refused() {
    let (items, factors) = (150, 6);
    let matrix = matrix(items, factors);
    let biases: Vec<f32> = (0..items).map(|i| number(i, 5)).collect();
    let codes = ItemCodes::of_any_size(matrix.view(), Some(&biases)).unwrap();
    let CodeParts { order, codes, scales, bounds } = codes.parts();
    let check = |order: &[u32], codes: &[u8], scales: &[u32], bounds: &[f32]| {
        Codes::check(CodeParts { order, codes, scales, bounds }, matrix.view(), Some(&biases))
    };
    assert!(check(order, codes, scales, bounds).is_ok());
    assert_eq!((codes.len(), bounds.len()), (3 * block_bytes(factors), 3 * 3));
    let size = Err(CodesError::Size { items, factors });
    assert_eq!(check(&order[1..], codes, scales, bounds), size);
    assert_eq!(check(order, &codes[1..], scales, bounds), size);
    assert_eq!(check(order, codes, &scales[1..], bounds), size);
    assert_eq!(check(order, codes, scales, &bounds[..6]), size);
    for entry in [order[3], 150, u32::MAX] {
        let mut order = order.to_vec();
        order[5] = entry;
        assert_eq!(check(&order, codes, scales, bounds), Err(CodesError::Order { position: 5 }));
    }
    for item in 0..items {
        let block = item / BLOCK_ITEMS;
        let error = Err(CodesError::Bounds { block });
        let with = |change: &dyn Fn(u32) -> u32| {
            let mut scales = scales.to_vec();
            scales[item] = change(scales[item]);
            check(order, codes, &scales, bounds)
        };
        // A smaller residual, a larger, negative, infinite or missing scale.
        assert_eq!(with(&|scale| scale - 2), error, "{item}");
        assert_eq!(with(&|scale| scale + (0x0200 << 16)), error);
        assert_eq!(with(&|scale| scale | 0x8000_0000), error);
        assert_eq!(with(&|scale| scale | 0x7f80_0000), error);
        assert_eq!(with(&|scale| scale & 0xffff), error);
        assert_eq!(with(&|scale| scale | 0x7fc0), error, "a residual that is not a number");
        let mut order = order.to_vec();
        order.swap(item, (item + 1) % items);
        assert!(check(&order, codes, scales, bounds).is_err(), "{item}");
    }
    for byte in 0..codes.len() {
        for bit in 0..8 {
            let mut codes = codes.to_vec();
            codes[byte] ^= 1 << bit;
            // A code that pads its block is never read, or multiplied by 0. Another one is refused,
            // unless the residual is still within its rounded bound.
            let _ = check(order, &codes, scales, bounds).map_err(|error| {
                assert!(matches!(error, CodesError::Bounds { .. }), "{error}");
            });
        }
    }
    for entry in 0..bounds.len() {
        for value in [f32::NAN, f32::INFINITY, -100.0] {
            let mut bounds = bounds.to_vec();
            bounds[entry] = value;
            assert_eq!(check(order, codes, scales, &bounds), Err(CodesError::Bounds { block: entry / 3 }), "{entry}");
        }
    }
    let mut ascending = bounds.to_vec();
    ascending[3] = bounds[0] * 2.0;
    assert_eq!(check(order, codes, scales, &ascending), Err(CodesError::Bounds { block: 1 }));
    assert_eq!(blocks(items), 3);
}

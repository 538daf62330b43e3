//! Times searches that a set of items limits, for the script that records them, against the search
//! of all items: the set tested before an item is scored, searched by the blocks that have its
//! items, and prepared for many searches. Writes one JSON object per line to standard output.

#![allow(clippy::indexing_slicing)] // Every index is of an item.

use std::{error::Error, time::Instant};

use factorization::{
    Catalogue, ItemBits, ItemCodes, Places, Scored,
    random::{uniform, word},
};
use ndarray::{Array2, ArrayView1};
use serde_json::{Value, json};

const ITEMS: usize = 1_000_000;
const FACTORS: usize = 64;
const QUERIES: usize = 30;
const N: usize = 10;
/// Maximum size of the codes of a set: an eighth of the sets of a model of 300 MB.
const PACKED_BYTES_MAX: usize = 300_000_000 / 8 / 8;
/// Kept fractions, as divisors.
const DIVISORS: [usize; 4] = [2, 10, 20, 100];
/// What is searched, and the power of the rank with which the lengths of its rows fall.
const KINDS: [(&str, f32); 3] = [("Gaussian", 0.0), ("norms as of popularity", 0.35), ("steep norms", 0.7)];

fn main() -> Result<(), Box<dyn Error>> {
    for (what, power) in KINDS {
        let (items, queries) = (gaussian(1, ITEMS, power), gaussian(2, QUERIES, 0.0));
        let codes = ItemCodes::new(items.view(), None).ok_or("the catalogue is too small for codes")?;
        let places = Places::default();
        let catalogue = Catalogue::new(items.view()).with_codes(Some(codes.codes())).with_places(Some(&places));
        let scanned = queries.rows().into_iter().filter_map(|query| {
            let list = catalogue.counted(&[query.to_slice()?], N, |_, _| true);
            list.first().map(|(_, counts)| counts.coded)
        });
        let scanned: usize = scanned.sum::<usize>() / QUERIES;
        let norm = |row: ArrayView1<'_, f32>| row.iter().map(|x| x * x).sum::<f32>();
        let mut by_norm: Vec<(f32, usize)> = items.rows().into_iter().map(norm).zip(0..).collect();
        by_norm.sort_by(|a, b| a.0.total_cmp(&b.0));
        for divisor in DIVISORS {
            let random: Vec<usize> =
                (0..ITEMS).filter(|i| uniform(word(3, 0, *i as u64)) * (divisor as f64) < 1.0).collect();
            let least = by_norm.iter().take(ITEMS / divisor).map(|(_, item)| *item).collect();
            for (which, kept) in [("at random", random), ("of least norm", least)] {
                let mut line = times(&items, &codes, &queries, &kept)?;
                line["items"] = what.into();
                line["kept"] = which.into();
                line["divisor"] = divisor.into();
                line["coded"] = scanned.into();
                println!("{line}");
            }
        }
    }
    Ok(())
}

/// Milliseconds of each query: of all items, of few, by their blocks, and of the prepared set; and
/// what the preparation takes.
fn times(
    items: &Array2<f32>,
    codes: &ItemCodes,
    queries: &Array2<f32>,
    kept: &[usize],
) -> Result<Value, Box<dyn Error>> {
    let mut bits = vec![0_u64; ITEMS.div_ceil(64)];
    for item in kept {
        bits[item / 64] |= 1 << (item % 64);
    }
    let is_kept = |item: u32| bits[item as usize / 64] >> (item % 64) & 1 == 1;
    let places = Places::default();
    let catalogue = Catalogue::new(items.view()).with_codes(Some(codes.codes())).with_places(Some(&places));
    let few = catalogue.clone().keeping_few(Some(ItemBits(&bits)));
    let begin = Instant::now();
    let prepared = catalogue.kept(ItemBits(&bits), PACKED_BYTES_MAX).ok_or("the catalogue is large")?;
    let preparation = 1e3 * begin.elapsed().as_secs_f64();
    let mut milliseconds = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for query in queries.rows() {
        let query = query.to_slice().ok_or("queries are rows")?;
        let all = timed(&mut milliseconds[0], || catalogue.best(query, N, |_| true));
        let tested_first = timed(&mut milliseconds[1], || few.best(query, N, is_kept));
        let listed = timed(&mut milliseconds[2], || {
            let items: Vec<u32> = (0..).zip(&bits).flat_map(|(word, bits)| ones(word * 64, *bits)).collect();
            catalogue.best_of(&items, query, N, is_kept)
        });
        let found = timed(&mut milliseconds[3], || catalogue.best_kept(&prepared, query, N, |_| true));
        assert!(all.len() == N && found == listed && found == tested_first, "the lists differ");
    }
    Ok(json!({ "ms": milliseconds, "preparation_ms": preparation, "kib": prepared.bytes() / 1024 }))
}

fn ones(first: u32, mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (bits != 0).then(|| bits.trailing_zeros())?;
        bits &= bits - 1;
        Some(first + bit)
    })
}

fn timed(to: &mut Vec<f64>, search: impl FnOnce() -> Vec<Scored>) -> Vec<Scored> {
    let begin = Instant::now();
    let list = search();
    to.push(1e3 * begin.elapsed().as_secs_f64());
    list
}

/// Rows of nearly normal numbers (sums of four uniform ones), whose lengths fall with a power of
/// their rank, as those of popular and rare items do.
fn gaussian(seed: u64, rows: usize, power: f32) -> Array2<f32> {
    Array2::from_shape_fn((rows, FACTORS), |(row, factor)| {
        let bits = word(seed, factor as u64, row as u64);
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
        let number = (sum as f32 / 65_536.0 - 2.0) * 3_f32.sqrt();
        number / (1.0 + row as f32).powf(power)
    })
}

//! Times the map from attributes to factors: `cargo run --release -p factorization --example
//! time_attributes`. 40,000 items with 5 of 5,000 values each, 64 factors.

use std::time::Instant;

use factorization::{AttributeMap, Entry, Interactions, random::word};
use ndarray::Array2;

const ITEMS: u32 = 40_000;
const VALUES: u64 = 5_000;
const VALUES_PER_ITEM: u64 = 5;
const FACTORS: usize = 64;

#[expect(clippy::cast_possible_truncation, reason = "below VALUES")]
fn main() {
    let value =
        |item: u32, n: u64| Entry { user: item, item: (word(1, u64::from(item), n) % VALUES) as u32, value: 1.0 };
    let entries = (0..ITEMS).flat_map(|item| (0..VALUES_PER_ITEM).map(move |n| value(item, n))).collect();
    let attributes = Interactions::from_entries(ITEMS as usize, VALUES as usize, entries).expect("valid entries");
    let target = |(row, column): (usize, usize)| (word(2, row as u64, column as u64) % 1000) as f32 / 1000.0;
    let targets = Array2::from_shape_fn((ITEMS as usize, FACTORS), target);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        let begin = Instant::now();
        let map =
            pool.install(|| AttributeMap::fit(&attributes, targets.view(), |_| true, 7)).expect("there are attributes");
        println!("{threads} threads: {:.2} s, lambda {}", begin.elapsed().as_secs_f64(), map.regularization);
    }
}

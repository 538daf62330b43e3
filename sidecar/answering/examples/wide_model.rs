//! Writes a model of 1,000,000 items whose norms fall with a power of their rank, as those of
//! popular and rare items do, and a table of its items with filter columns, for the benchmark of
//! filters over HTTP: `wide_model POWER MODEL TABLE`.
//!
//! The columns `random100`, `random10` and `random2` have so many values at random; `least100`,
//! `least10` and `least2` are `yes` for that fraction of the items with the least norms.

#![allow(clippy::cast_possible_truncation)] // Sizes are far below 32 bits.

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufWriter, Write},
};

use factorization::{
    gram as gram_matrix,
    random::{uniform, word},
};
use model_snapshot::{ItemCodes, Metadata, ModelParts, Seen, StringTable, write};
use ndarray::{Array2, ArrayView1};
use sidecar_contract::{Algorithm, AlsConfig, Signal};

const ITEMS: usize = 1_000_000;
const USERS: usize = 1000;
const FACTORS: usize = 64;
/// Kept fractions, as divisors.
const DIVISORS: [usize; 3] = [100, 10, 2];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [power, model, table] = arguments.as_slice() else { return Err("usage: wide_model POWER MODEL TABLE".into()) };
    let (users, items) = (gaussian(2, USERS, 0.0), gaussian(1, ITEMS, power.parse()?));
    write_table(&items, &mut BufWriter::new(File::create(table)?))?;
    let codes = factorization::ItemCodes::new(items.view(), None).ok_or("the catalogue is too small for codes")?;
    let factorization::CodeParts { order, codes, scales, bounds } = codes.parts();
    let names = |kind: &str, count: usize| -> StringTable { (0..count).map(|row| format!("{kind}{row}")).collect() };
    let metadata = Metadata {
        algorithm: Algorithm::Als(AlsConfig { factors: 64, regularization: Some(0.1), ..AlsConfig::WIRE_DEFAULT }),
        signal: Signal::Implicit,
        seed: 1,
        users: USERS as u64,
        items: ITEMS as u64,
        factors: FACTORS as u64,
        interactions: 0,
        mean_degree_weight: None,
        ratings: None,
        cold_items: 0,
        two_hop_entries: None,
        two_hop_first_square: None,
        two_hop_pair_items: None,
    };
    let gram = gram_matrix(items.view());
    let popular: Vec<u32> = (0..ITEMS as u32).collect();
    let parts = ModelParts {
        metadata: &metadata,
        user_ids: &names("u", USERS),
        item_ids: &names("i", ITEMS),
        user_factors: users.view(),
        item_factors: items.view(),
        gram: gram.view(),
        biases: None,
        item_counts: &vec![1; ITEMS],
        popular_items: &popular,
        seen: Seen { offsets: &[0; USERS + 1], items: &[], weights: None },
        two_hop: None,
        item_codes: Some(ItemCodes { order, codes, scales, bounds }),
    };
    let mut out = BufWriter::new(File::create(model)?);
    write(&parts, &mut out)?;
    out.flush()?;
    Ok(())
}

fn write_table(items: &Array2<f32>, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let norm = |row: ArrayView1<'_, f32>| row.iter().map(|x| x * x).sum::<f32>();
    let mut by_norm: Vec<(f32, usize)> = items.rows().into_iter().map(norm).zip(0..).collect();
    by_norm.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0; ITEMS];
    for (rank, (_, item)) in by_norm.into_iter().enumerate() {
        *ranks.get_mut(item).ok_or("an item has no rank")? = rank;
    }
    writeln!(out, "item_id,title,random100,random10,random2,least100,least10,least2")?;
    for (item, rank) in ranks.into_iter().enumerate() {
        write!(out, "i{item},Item number {item}")?;
        for (stream, divisor) in DIVISORS.into_iter().enumerate() {
            let value = uniform(word(3, stream as u64, item as u64)) * divisor as f64;
            write!(out, ",v{}", value.floor())?;
        }
        for divisor in DIVISORS {
            write!(out, ",{}", if rank < ITEMS / divisor { "yes" } else { "no" })?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// Rows of nearly normal numbers (sums of four uniform ones), whose lengths fall with a power of
/// their rank.
fn gaussian(seed: u64, rows: usize, power: f32) -> Array2<f32> {
    Array2::from_shape_fn((rows, FACTORS), |(row, factor)| {
        let bits = word(seed, factor as u64, row as u64);
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
        let number = (sum as f32 / 65_536.0 - 2.0) * 3_f32.sqrt();
        number / (1.0 + row as f32).powf(power)
    })
}

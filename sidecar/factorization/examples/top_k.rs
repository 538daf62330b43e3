//! Searches on command, for scripts that compare with other packages. It reads one JSON object per
//! line from standard input and writes one response per line.
//!
//! ```text
//!   {"op": "load", "items": "items.f32", "queries": "queries.f32", "factors": 64}
//!     → {"items": …, "codeBytes": …, "seconds": …}
//!   {"op": "search", "query": 3, "n": 10, "flat": false, "cold": false}
//!     → {"seconds": …, "scored": …, "coded": …, "list": [item, …]}
//!   {"op": "all", "n": 20, "excluded": "seen.bin", "out": "lists.u32"}
//!     → {"seconds": …}
//! ```
//! Files are row-major and little-endian. With `cold` nothing of the items is in the caches of the
//! core. `all` searches for every query on the ambient threads, and writes `n` items for each.
//! `excluded` holds the number of queries and of entries (two u64), a start for each query and the
//! end (u64), then the items (u32, ascending) that a query's list leaves out.

use std::{
    error::Error,
    fs,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use factorization::{Catalogue, ItemCodes};
use ndarray::Array2;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// Floats that are read to replace what the caches hold: twice the largest cache of servers.
const CACHE_FLOATS: usize = 1 << 28;
/// Queries that share a scan.
const QUERIES_PER_TASK: usize = 64;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
enum Command {
    Load {
        items: PathBuf,
        queries: PathBuf,
        factors: usize,
    },
    Search {
        query: usize,
        n: usize,
        #[serde(default)]
        flat: bool,
        #[serde(default)]
        cold: bool,
    },
    All {
        n: usize,
        excluded: PathBuf,
        out: PathBuf,
    },
}

struct Loaded {
    items: Array2<f32>,
    queries: Array2<f32>,
    codes: Option<ItemCodes>,
    other: Vec<f32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut loaded = None;
    for line in std::io::stdin().lock().lines() {
        let response = run(serde_json::from_str(&line?)?, &mut loaded)
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        println!("{response}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn run(command: Command, loaded: &mut Option<Loaded>) -> Result<Value, Box<dyn Error>> {
    match (command, loaded) {
        (Command::Load { items, queries, factors }, loaded) => {
            let (items, queries) = (matrix(&items, factors)?, matrix(&queries, factors)?);
            let started = Instant::now();
            let codes = ItemCodes::new(items.view(), None);
            let seconds = started.elapsed().as_secs_f64();
            let bytes = codes.as_ref().map_or(0, |codes| {
                let parts = codes.parts();
                parts.codes.len() + 4 * (parts.order.len() + parts.scales.len() + parts.bounds.len())
            });
            let response = json!({ "items": items.nrows(), "codeBytes": bytes, "seconds": seconds });
            *loaded = Some(Loaded { items, queries, codes, other: Vec::new() });
            Ok(response)
        }
        (_, None) => Err("load items first".into()),
        (Command::Search { query, n, flat, cold }, Some(loaded)) => {
            if cold {
                loaded.other.resize(CACHE_FLOATS, 1.0);
                for x in &mut loaded.other {
                    *x += 1.0;
                }
            }
            let catalogue = loaded.catalogue(flat);
            let row = loaded.queries.row(query);
            let started = Instant::now();
            let found = catalogue.counted(&[row.to_slice().ok_or("queries are rows")?], n, |_, _| true);
            let seconds = started.elapsed().as_secs_f64();
            let (list, counts) = found.first().ok_or("one list")?;
            let list: Vec<u32> = list.iter().map(|scored| scored.item).collect();
            Ok(json!({ "seconds": seconds, "scored": counts.scored, "coded": counts.coded, "list": list }))
        }
        (Command::All { n, excluded, out }, Some(loaded)) => {
            let seen = Seen::read(&excluded)?;
            let catalogue = loaded.catalogue(false);
            let started = Instant::now();
            let queries: Vec<&[f32]> = loaded.queries.rows().into_iter().filter_map(|row| row.to_slice()).collect();
            let lists: Vec<Vec<u32>> = queries
                .par_chunks(QUERIES_PER_TASK)
                .enumerate()
                .flat_map_iter(|(task, queries)| {
                    let keep = |query: usize, item: u32| {
                        seen.row(task * QUERIES_PER_TASK + query).binary_search(&item).is_err()
                    };
                    let lists = catalogue.best_for_each(queries, n, keep);
                    lists.into_iter().map(|list| list.iter().map(|scored| scored.item).collect())
                })
                .collect();
            let seconds = started.elapsed().as_secs_f64();
            fs::write(out, lists.concat().iter().flat_map(|item| item.to_le_bytes()).collect::<Vec<u8>>())?;
            Ok(json!({ "seconds": seconds }))
        }
    }
}

impl Loaded {
    fn catalogue(&self, flat: bool) -> Catalogue<'_> {
        let codes = self.codes.as_ref().filter(|_| !flat).map(ItemCodes::codes);
        Catalogue::new(self.items.view()).with_codes(codes)
    }
}

/// Items that lists leave out.
struct Seen {
    starts: Vec<usize>,
    items: Vec<u32>,
}

impl Seen {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let bytes = fs::read(path)?;
        let (counts, rest) = bytes.split_at_checked(16).ok_or("the file is too short")?;
        let count = |bytes: &[u8]| usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; 8])));
        let queries = count(counts)?;
        let (starts, items) = rest.split_at_checked((queries + 1) * 8).ok_or("the file is too short")?;
        Ok(Self {
            starts: starts.chunks_exact(8).map(count).collect::<Result<_, _>>()?,
            items: items.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect(),
        })
    }

    fn row(&self, query: usize) -> &[u32] {
        let range = self.starts.get(query).zip(self.starts.get(query + 1));
        range.and_then(|(start, end)| self.items.get(*start..*end)).unwrap_or_default()
    }
}

fn matrix(path: &Path, factors: usize) -> Result<Array2<f32>, Box<dyn Error>> {
    let floats: Vec<f32> = fs::read(path)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Array2::from_shape_vec((floats.len() / factors, factors), floats)?)
}

//! Reads a file of visits for the examples: each line is a user's index followed by the indexes of
//! their items, separated by spaces.

use std::{error::Error, fs};

use factorization::Entry;

/// All visits, each of weight 1.
pub fn read(path: &str) -> Result<Vec<Entry>, Box<dyn Error>> {
    let mut entries = Vec::new();
    for line in fs::read_to_string(path)?.lines() {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let Some(user) = numbers.next() else { continue };
        let user = user?;
        for item in numbers {
            entries.push(Entry { user, item: item?, value: 1.0 });
        }
    }
    Ok(entries)
}

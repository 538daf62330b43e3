//! A catalogue as plain values, for tests.

use std::collections::BTreeSet;

use catalogue::{Catalogue, CatalogueError, CatalogueWriter, ColumnKind, Written};
use sidecar_contract::Digest;

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub titles: Vec<Option<String>>,
    pub available: Vec<bool>,
    /// Name and values of each item.
    pub categories: Vec<(&'static str, Vec<BTreeSet<String>>)>,
    pub numbers: Vec<(&'static str, ColumnKind, Vec<Option<f64>>)>,
}

pub fn revision() -> Digest {
    Digest::of(b"a snapshot")
}

impl Table {
    pub fn items(&self) -> usize {
        self.available.len()
    }

    /// Writes the rows, the last first if `reversed`.
    pub fn try_write(&self, reversed: bool) -> Result<(Vec<u8>, Written), CatalogueError> {
        let mut writer = CatalogueWriter::new("1764370000-e3b0c44298", &revision(), self.items())?;
        let mut rows: Vec<usize> = (0..self.items()).collect();
        if reversed {
            rows.reverse();
        }
        for (name, kind, numbers) in &self.numbers {
            let column = writer.column(name, *kind)?;
            for &row in &rows {
                writer.set_number(column, row as u32, numbers[row].unwrap_or(f64::NAN))?;
            }
        }
        for (name, values) in &self.categories {
            let column = writer.column(name, ColumnKind::Category)?;
            for &row in &rows {
                for value in &values[row] {
                    writer.add_value(column, row as u32, value)?;
                }
            }
        }
        for row in rows {
            writer.set_available(row as u32, self.available[row]);
            if let Some(title) = &self.titles[row] {
                writer.set_title(row as u32, "a title that is replaced")?;
                writer.set_title(row as u32, title)?;
            }
        }
        let mut bytes = Vec::new();
        let written = writer.write(&mut bytes)?;
        Ok((bytes, written))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.try_write(false).unwrap().0
    }

    pub fn open(&self) -> Catalogue {
        Catalogue::from_bytes(&self.bytes()).unwrap()
    }
}

/// A table with every kind of column, frequent, rare and missing values.
pub fn example(items: usize) -> Table {
    let genres = |i: usize| {
        let all = ["comedy", "drama", "é"].iter().enumerate().filter(|(g, _)| i.is_multiple_of(g + 2));
        all.map(|(_, genre)| (*genre).to_owned()).collect()
    };
    let brand = |i: usize| if i % 9 == 4 { BTreeSet::new() } else { BTreeSet::from([format!("brand {}", i % 50)]) };
    Table {
        titles: (0..items).map(|i| (i % 5 != 0).then(|| format!("Title ☕ {i}"))).collect(),
        available: (0..items).map(|i| i % 7 != 3).collect(),
        categories: vec![("genre", (0..items).map(genres).collect()), ("brand", (0..items).map(brand).collect())],
        numbers: vec![
            ("price", ColumnKind::Number, (0..items).map(|i| (i % 11 != 0).then(|| (i * 37 % 101) as f64)).collect()),
            ("since", ColumnKind::Time, (0..items).map(|i| Some(i as f64 * 86_400.0)).collect()),
        ],
    }
}

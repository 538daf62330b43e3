//! Sparse rows, borrowed from a model in memory or from a file.

use crate::interactions::Interactions;

/// Sparse rows in compressed format.
#[derive(Clone, Copy, Debug)]
pub struct SparseRows<'a> {
    offsets: &'a [u64],
    columns: &'a [u32],
    values: Option<&'a [f32]>,
}

/// A row of [`SparseRows`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Columns, ascending.
    pub columns: &'a [u32],
    /// Their values; `None` if all are 1.
    pub values: Option<&'a [f32]>,
}

impl Row<'_> {
    /// Removes the first entries.
    pub(super) fn skip(&mut self, entries: usize) {
        self.columns = self.columns.get(entries..).unwrap_or_default();
        self.values = self.values.map(|values| values.get(entries..).unwrap_or_default());
    }

    /// The value of an entry.
    pub(super) fn value(&self, at: usize) -> f32 {
        self.values.map_or(1.0, |values| values[at])
    }
}

impl<'a> SparseRows<'a> {
    /// From the start of each row and the end of the last, the columns of all rows, and their
    /// values (`None`: all are 1). Columns must be in range.
    ///
    /// # Panics
    /// If there is not one value for each column.
    pub fn new(offsets: &'a [u64], columns: &'a [u32], values: Option<&'a [f32]>) -> Self {
        assert!(values.is_none_or(|values| values.len() == columns.len()), "one value per column");
        Self { offsets, columns, values }
    }

    /// Number of rows.
    #[expect(clippy::len_without_is_empty, reason = "a number of rows")]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Number of entries.
    pub(super) fn entries(&self) -> usize {
        self.columns.len()
    }

    /// Whether some values are not 1.
    pub(super) fn has_values(&self) -> bool {
        self.values.is_some()
    }

    /// A row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Row<'a> {
        #[expect(clippy::cast_possible_truncation, reason = "not larger than the number of columns")]
        let range = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        Row { columns: &self.columns[range.clone()], values: self.values.map(|values| &values[range]) }
    }
}

/// Sparse rows in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedRows {
    offsets: Vec<u64>,
    columns: Vec<u32>,
    values: Option<Vec<f32>>,
}

impl OwnedRows {
    /// The rows of interactions.
    pub fn of(data: &Interactions) -> Self {
        Self {
            offsets: data.offsets().iter().map(|offset| *offset as u64).collect(),
            columns: data.columns().to_vec(),
            values: not_all_one(data.values().to_vec()),
        }
    }

    /// Rows of columns and values.
    pub(super) fn from_rows(rows: impl Iterator<Item = Vec<(u32, f32)>>) -> Self {
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in rows {
            columns.extend(row.iter().map(|entry| entry.0));
            values.extend(row.iter().map(|entry| entry.1));
            offsets.push(columns.len() as u64);
        }
        Self { offsets, columns, values: not_all_one(values) }
    }

    /// Borrows them.
    pub fn view(&self) -> SparseRows<'_> {
        SparseRows::new(&self.offsets, &self.columns, self.values.as_deref())
    }

    /// Start of each row, and the end of the last.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Columns of all rows.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Values of all rows; `None` if all are 1.
    pub fn values(&self) -> Option<&[f32]> {
        self.values.as_deref()
    }

    /// Appends empty rows.
    pub(super) fn append_empty(&mut self, rows: usize) {
        let end = self.columns.len() as u64;
        self.offsets.extend(std::iter::repeat_n(end, rows));
    }

    /// Replaces the rows that are not empty in `others`, which has as many rows.
    pub(super) fn replace(&mut self, others: &Interactions) {
        let before = self.view();
        let row = |row: usize| {
            let (columns, values) = others.row(row);
            if columns.is_empty() {
                let row = before.row(row);
                row.columns.iter().enumerate().map(|(at, column)| (*column, row.value(at))).collect()
            } else {
                columns.iter().copied().zip(values.iter().copied()).collect()
            }
        };
        *self = Self::from_rows((0..before.len()).map(row));
    }
}

/// The values, unless all are 1.
fn not_all_one(values: Vec<f32>) -> Option<Vec<f32>> {
    let one = 1.0_f32.to_bits();
    values.iter().any(|value| value.to_bits() != one).then_some(values)
}

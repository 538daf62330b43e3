//! Observed interactions: a validated sparse matrix, users × items, each pair once, rows sorted by
//! item.

use thiserror::Error;

/// One observed interaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Row.
    pub user: u32,
    /// Column.
    pub item: u32,
    /// Strength; a value of 0 or below is a dislike.
    pub value: f32,
}

/// Why entries are invalid.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InteractionsError {
    /// An index is outside the matrix.
    #[error("entry {position}: {side} {index} is outside 0..{bound}")]
    OutOfRange {
        /// Position in the input.
        position: usize,
        /// `user` or `item`.
        side: &'static str,
        /// The index given.
        index: u32,
        /// Number of users or items.
        bound: usize,
    },
    /// A value is NaN or infinite.
    #[error("entry {position}: value {value} is not a finite number")]
    NotFinite {
        /// Position in the input.
        position: usize,
        /// The value given.
        value: f32,
    },
    /// There are more users, items or entries than indexes can represent.
    #[error("{count} {what}: the maximum is {limit}")]
    TooMany {
        /// `users`, `items` or `entries`.
        what: &'static str,
        /// Number of them.
        count: usize,
        /// Maximum.
        limit: usize,
    },
}

/// Maximum number of users, items or entries.
pub const INDEX_MAX: usize = u32::MAX as usize - 1;

/// Weights of the objective terms of one observed cell; see the crate docs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellWeights {
    /// a: weight of ŷ².
    pub quadratic: f64,
    /// b: weight of −2ŷ.
    pub linear: f64,
}

impl CellWeights {
    /// For a positive weight w, a = b = w. A weight of 0 or below is a dislike: b = 0 and a = |w|
    /// (1 for a bare 0).
    #[inline(always)]
    pub fn from_weight(value: f32) -> Self {
        let w = f64::from(value);
        if w > 0.0 {
            Self { quadratic: w, linear: w }
        } else if w < 0.0 {
            Self { quadratic: -w, linear: 0.0 }
        } else {
            Self { quadratic: 1.0, linear: 0.0 }
        }
    }

    /// For a confidence c ≥ 1, a = c − 1 and b = c, because every cell already has weight 1. A
    /// value below 0 is a dislike with confidence |c| and b = 0. A confidence below 1 counts as 1.
    #[inline(always)]
    pub fn from_confidence(value: f32) -> Self {
        let c = f64::from(value.abs()).max(1.0);
        Self { quadratic: c - 1.0, linear: if value < 0.0 { 0.0 } else { c } }
    }
}

/// A users × items matrix in compressed sparse row format.
#[derive(Clone, Debug, PartialEq)]
pub struct Interactions {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    items: usize,
}

impl Interactions {
    /// Validates and sorts entries. Entries of the same pair merge: their values are added in
    /// ascending order, so that the order of the input does not matter.
    ///
    /// # Errors
    /// An index outside the matrix, a value that is not finite (also after merging), or too many
    /// users, items or entries.
    pub fn from_entries(users: usize, items: usize, mut entries: Vec<Entry>) -> Result<Self, InteractionsError> {
        for (what, count) in [("users", users), ("items", items), ("entries", entries.len())] {
            if count > INDEX_MAX {
                return Err(InteractionsError::TooMany { what, count, limit: INDEX_MAX });
            }
        }
        for (position, entry) in entries.iter().enumerate() {
            for (side, index, bound) in [("user", entry.user, users), ("item", entry.item, items)] {
                if index as usize >= bound {
                    return Err(InteractionsError::OutOfRange { position, side, index, bound });
                }
            }
            if !entry.value.is_finite() {
                return Err(InteractionsError::NotFinite { position, value: entry.value });
            }
        }
        entries.sort_unstable_by(|x, y| (x.user, x.item).cmp(&(y.user, y.item)).then(x.value.total_cmp(&y.value)));
        entries.dedup_by(|next, kept| {
            let same = (next.user, next.item) == (kept.user, kept.item);
            if same {
                kept.value += next.value;
            }
            same
        });
        if let Some((position, entry)) = entries.iter().enumerate().find(|(_, e)| !e.value.is_finite()) {
            return Err(InteractionsError::NotFinite { position, value: entry.value });
        }
        let mut offsets = vec![0; users + 1];
        for entry in &entries {
            offsets[entry.user as usize + 1] += 1;
        }
        for row in 0..users {
            offsets[row + 1] += offsets[row];
        }
        let columns = entries.iter().map(|e| e.item).collect();
        let values = entries.iter().map(|e| e.value).collect();
        Ok(Self { offsets, columns, values, items })
    }

    /// Number of users (rows).
    pub fn users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of items (columns).
    pub fn items(&self) -> usize {
        self.items
    }

    /// Number of observed pairs.
    pub fn nnz(&self) -> usize {
        self.columns.len()
    }

    /// Items (ascending) and values of a user.
    pub fn row(&self, user: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[user]..self.offsets[user + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Start of each row in [`Self::columns`], and the end of the last; users + 1 values.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Items of all rows, concatenated.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Values of all rows, parallel to [`Self::columns`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same pairs with these values, one per pair, parallel to [`Self::columns`].
    pub(crate) fn with_values(&self, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), self.nnz(), "one value per pair");
        Self { offsets: self.offsets.clone(), columns: self.columns.clone(), values, items: self.items }
    }

    /// The same pairs with mapped values, which must be finite. `change` gets them in the order of
    /// users and items.
    #[must_use]
    pub fn map_values(&self, mut change: impl FnMut(f32) -> f32) -> Self {
        self.with_values(self.values.iter().map(|value| change(*value)).collect())
    }

    /// The same pairs with mapped values, which must be finite. `change` gets the number of the
    /// user's pairs, the item and the value.
    #[must_use]
    pub(crate) fn change_values(mut self, change: impl Fn(usize, u32, f32) -> f32) -> Self {
        for row in self.offsets.windows(2) {
            let row = row[0]..row[1];
            for (item, value) in self.columns[row.clone()].iter().zip(&mut self.values[row.clone()]) {
                *value = change(row.len(), *item, *value);
            }
        }
        self
    }

    /// A matrix of the same shape with only the pairs of these users.
    #[must_use]
    pub fn keep_users(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut kept = Self { offsets: vec![0], columns: Vec::new(), values: Vec::new(), items: self.items };
        for user in 0..self.users() {
            if keep(user) {
                let (items, values) = self.row(user);
                kept.columns.extend_from_slice(items);
                kept.values.extend_from_slice(values);
            }
            kept.offsets.push(kept.columns.len());
        }
        kept
    }

    /// A matrix of the same shape with only the entries of these users (ascending).
    #[must_use]
    pub fn only_users(&self, users: &[u32]) -> Self {
        self.keep_users(|user| users.binary_search_by(|drawn| (*drawn as usize).cmp(&user)).is_ok())
    }

    /// A matrix of the same shape with only the pairs that `keep` selects by user, item and value.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "users ≤ INDEX_MAX")]
    pub(crate) fn keep_entries(&self, keep: impl Fn(u32, u32, f32) -> bool) -> Self {
        let mut kept = Self { offsets: vec![0], columns: Vec::new(), values: Vec::new(), items: self.items };
        for user in 0..self.users() {
            let (items, values) = self.row(user);
            for (&item, &value) in items.iter().zip(values).filter(|(item, value)| keep(user as u32, **item, **value)) {
                kept.columns.push(item);
                kept.values.push(value);
            }
            kept.offsets.push(kept.columns.len());
        }
        kept
    }

    /// The transpose: items × users.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "users ≤ INDEX_MAX")]
    pub fn transpose(&self) -> Self {
        let mut offsets = vec![0; self.items + 1];
        for &item in &self.columns {
            offsets[item as usize + 1] += 1;
        }
        for row in 0..self.items {
            offsets[row + 1] += offsets[row];
        }
        let mut next = offsets.clone();
        let (mut columns, mut values) = (vec![0; self.nnz()], vec![0.0; self.nnz()]);
        for user in 0..self.users() {
            let (items, weights) = self.row(user);
            for (&item, &weight) in items.iter().zip(weights) {
                let position = &mut next[item as usize];
                columns[*position] = user as u32;
                values[*position] = weight;
                *position += 1;
            }
        }
        Self { offsets, columns, values, items: self.users() }
    }
}

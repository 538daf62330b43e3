//! What was observed: a checked sparse matrix, users × items, each pair once, rows sorted by item.

use thiserror::Error;

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Row.
    pub user: u32,
    /// Column.
    pub item: u32,
    /// Strength; 0 or less is a dislike.
    pub value: f32,
}

/// Why observations cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InteractionsError {
    /// An index beyond the matrix.
    #[error("entry {position}: {side} {index} is outside 0..{bound}")]
    OutOfRange {
        /// Place in the input.
        position: usize,
        /// user or item.
        side: &'static str,
        /// The index given.
        index: u32,
        /// The size.
        bound: usize,
    },
    /// NaN or infinite.
    #[error("entry {position}: value {value} is not a finite number")]
    NotFinite {
        /// Place in the input.
        position: usize,
        /// The value given.
        value: f32,
    },
    /// More rows or entries than indexes can name.
    #[error("{what} {count}: at most {limit} are supported")]
    TooMany {
        /// users, items or entries.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// Most users, items or entries.
pub const INDEX_MAX: usize = u32::MAX as usize - 1;

/// What one observed cell adds to the objective; see the crate's page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Weight of ŷ².
    pub a: f64,
    /// Weight of ŷ.
    pub b: f64,
}

impl Evidence {
    /// A positive value w is a = b = w; a value of 0 or less is a dislike, b = 0, a = |w| (1 for a bare 0).
    #[inline(always)]
    pub fn of(value: f32) -> Self {
        let w = f64::from(value);
        if w > 0.0 {
            Self { a: w, b: w }
        } else if w < 0.0 {
            Self { a: -w, b: 0.0 }
        } else {
            Self { a: 1.0, b: 0.0 }
        }
    }

    /// A confidence c ≥ 1 is a = c − 1, b = c: every cell weighs 1 as it is. Below 0 it is a dislike of confidence |c|, with b = 0;
    /// less than 1 counts as 1.
    #[inline(always)]
    pub fn of_confidence(value: f32) -> Self {
        let c = f64::from(value.abs()).max(1.0);
        Self { a: c - 1.0, b: if value < 0.0 { 0.0 } else { c } }
    }
}

/// Users × items in compressed sparse rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Interactions {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    items: usize,
}

impl Interactions {
    /// Checks and sorts entries. Entries of one pair merge: their values add, in ascending order of value, so that the
    /// order of the input does not matter.
    ///
    /// # Errors
    /// An index outside the matrix, a value that is not finite (also after adding), too many of anything.
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

    /// Rows.
    pub fn users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Columns.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Observed pairs.
    pub fn nnz(&self) -> usize {
        self.columns.len()
    }

    /// Items (ascending) and values of a user.
    pub fn row(&self, user: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[user]..self.offsets[user + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Row starts; users + 1 entries.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Items of all rows, one row after the other.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Values of all rows, as [`Self::columns`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same pairs with these values beside [`Self::columns`], as many.
    pub(crate) fn with_values(&self, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), self.nnz(), "one value a pair");
        Self { offsets: self.offsets.clone(), columns: self.columns.clone(), values, items: self.items }
    }

    /// The same pairs with other values, which must be finite.
    #[must_use]
    pub fn map_values(&self, change: impl Fn(f32) -> f32) -> Self {
        self.with_values(self.values.iter().map(|value| change(*value)).collect())
    }

    /// The same pairs with other values, which must be finite: of how many pairs the user has, the item and the value.
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

    /// The same shape with the pairs of these users alone.
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

    /// Items × users.
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
                let place = &mut next[item as usize];
                columns[*place] = user as u32;
                values[*place] = weight;
                *place += 1;
            }
        }
        Self { offsets, columns, values, items: self.users() }
    }
}

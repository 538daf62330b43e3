//! Validation of tensor contents. Accessors rely on these checks.

use crate::{error::TensorFileError, strings::string_at};

/// Checks that `offsets` start at 0, never decrease, and end at `end`.
pub fn offsets(name: &str, offsets: &[u64], end: u64) -> Result<(), TensorFileError> {
    let first = offsets.first().copied();
    if first != Some(0) || offsets.last().copied() != Some(end) {
        return Err(TensorFileError::corrupt(name, format!("does not start at 0 and end at {end}")));
    }
    match offsets.windows(2).position(|pair| matches!(pair, [before, after] if before > after)) {
        Some(row) => Err(TensorFileError::corrupt(name, format!("decreases after row {row}"))),
        None => Ok(()),
    }
}

/// Checks that every row is valid UTF-8. Requires that `offsets` are checked against `bytes`.
pub fn strings(name: &str, bytes: &[u8], offsets: &[u64]) -> Result<(), TensorFileError> {
    let bad = |row: usize| TensorFileError::corrupt(name, format!("row {row} is not UTF-8"));
    // All bytes are validated at once, which is fast. Then no row may start inside a character.
    let text = std::str::from_utf8(bytes).map_err(|_| TensorFileError::corrupt(name, "is not UTF-8"))?;
    let is_inside_character =
        |offset: &u64| !usize::try_from(*offset).is_ok_and(|offset| text.is_char_boundary(offset));
    offsets.iter().position(is_inside_character).map_or(Ok(()), |row| Err(bad(row)))
}

/// Checks that `sorted` lists every row once, in strictly ascending order of the ids, which are
/// therefore unique.
pub fn sorted(name: &str, bytes: &[u8], offsets: &[u64], sorted: &[u32]) -> Result<(), TensorFileError> {
    let mut before: Option<&str> = None;
    for (rank, row) in sorted.iter().enumerate() {
        // Strictly ascending ids exclude duplicate rows. There is one entry per row, so every row
        // is listed.
        let id = string_at(bytes, offsets, *row as usize);
        if id.is_none() || before >= id {
            // An empty id in the first entry is valid, because it is greater than `None`.
            return Err(TensorFileError::corrupt(name, format!("entry {rank} is out of order or not a valid row")));
        }
        before = id;
    }
    Ok(())
}

/// Checks that every entry is below `limit`.
pub fn below(name: &str, entries: &[u32], limit: u64) -> Result<(), TensorFileError> {
    match entries.iter().position(|entry| u64::from(*entry) >= limit) {
        Some(index) => Err(TensorFileError::corrupt(name, format!("entry {index} is not below {limit}"))),
        None => Ok(()),
    }
}

/// Checks that no entry is a duplicate. Requires that all entries are below `limit`.
pub fn distinct(name: &str, entries: &[u32], limit: u64) -> Result<(), TensorFileError> {
    let mut found = vec![false; usize::try_from(limit).unwrap_or(0)];
    for (index, entry) in entries.iter().enumerate() {
        match found.get_mut(*entry as usize) {
            Some(flag) if !*flag => *flag = true,
            _ => return Err(TensorFileError::corrupt(name, format!("entry {index} is a duplicate"))),
        }
    }
    Ok(())
}

/// Checks that the entries of each row are strictly ascending. Requires that `offsets` are checked
/// against `items`.
pub fn ascending_rows(name: &str, offsets: &[u64], items: &[u32]) -> Result<(), TensorFileError> {
    let mut rest = items;
    for (row, pair) in offsets.windows(2).enumerate() {
        let [start, end] = pair else { continue };
        let (row_items, tail) = usize::try_from(end - start)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| TensorFileError::corrupt(name, format!("row {row} exceeds the end")))?;
        if !row_items.is_sorted_by(|before, after| before < after) {
            return Err(TensorFileError::corrupt(name, format!("row {row} is not ascending")));
        }
        rest = tail;
    }
    Ok(())
}

/// Checks that every number is finite.
pub fn finite_f32(name: &str, numbers: &[f32]) -> Result<(), TensorFileError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(TensorFileError::corrupt(name, format!("entry {index} is not finite"))),
        None => Ok(()),
    }
}

/// Checks that every number is finite.
pub fn finite_f64(name: &str, numbers: &[f64]) -> Result<(), TensorFileError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(TensorFileError::corrupt(name, format!("entry {index} is not finite"))),
        None => Ok(()),
    }
}

//! The checks after which no access can go wrong: each over one tensor's numbers.

use crate::{error::SnapshotError, strings::string_at};

/// `offsets` starts at 0, never falls, and ends at `end`.
pub(crate) fn offsets(name: &str, offsets: &[u64], end: u64) -> Result<(), SnapshotError> {
    let first = offsets.first().copied();
    if first != Some(0) || offsets.last().copied() != Some(end) {
        return Err(SnapshotError::corrupt(name, format!("does not run from 0 to {end}")));
    }
    match offsets.windows(2).position(|pair| matches!(pair, [before, after] if before > after)) {
        Some(row) => Err(SnapshotError::corrupt(name, format!("falls after row {row}"))),
        None => Ok(()),
    }
}

/// Every row of the table is a string. `offsets` were checked against `bytes` before.
pub(crate) fn strings(name: &str, bytes: &[u8], offsets: &[u64]) -> Result<(), SnapshotError> {
    let bad = |row: usize| SnapshotError::corrupt(name, format!("row {row} is not UTF-8"));
    // The whole is checked once, at full speed; a row then only must not start inside a character.
    let whole = std::str::from_utf8(bytes).map_err(|_| SnapshotError::corrupt(name, "is not UTF-8"))?;
    let starts_inside = |at: &u64| !usize::try_from(*at).is_ok_and(|at| whole.is_char_boundary(at));
    offsets.iter().position(starts_inside).map_or(Ok(()), |row| Err(bad(row)))
}

/// `sorted` lists every row once, in strictly ascending order of the ids: they are all different.
pub(crate) fn sorted(name: &str, bytes: &[u8], offsets: &[u64], sorted: &[u32]) -> Result<(), SnapshotError> {
    let mut before: Option<&str> = None;
    for (rank, row) in sorted.iter().enumerate() {
        // Strictly ascending ids cannot name a row twice, and as many entries as rows then name them all.
        let id = string_at(bytes, offsets, *row as usize);
        if id.is_none() || before >= id {
            // An empty table never gets here; the empty id in first place is in order.
            return Err(SnapshotError::corrupt(name, format!("entry {rank} is out of order or no row")));
        }
        before = id;
    }
    Ok(())
}

/// Every entry is below `limit`.
pub(crate) fn below(name: &str, entries: &[u32], limit: u64) -> Result<(), SnapshotError> {
    match entries.iter().position(|entry| u64::from(*entry) >= limit) {
        Some(at) => Err(SnapshotError::corrupt(name, format!("entry {at} is not below {limit}"))),
        None => Ok(()),
    }
}

/// No entry stands twice. All entries were checked to be below `limit` before.
pub(crate) fn distinct(name: &str, entries: &[u32], limit: u64) -> Result<(), SnapshotError> {
    let mut met = vec![false; usize::try_from(limit).unwrap_or(0)];
    for (at, entry) in entries.iter().enumerate() {
        match met.get_mut(*entry as usize) {
            Some(flag) if !*flag => *flag = true,
            _ => return Err(SnapshotError::corrupt(name, format!("entry {at} stands twice"))),
        }
    }
    Ok(())
}

/// Within each user, entries ascend strictly. `offsets` were checked against `items` before.
pub(crate) fn ascending_rows(name: &str, offsets: &[u64], items: &[u32]) -> Result<(), SnapshotError> {
    let mut rest = items;
    for (row, pair) in offsets.windows(2).enumerate() {
        let [start, end] = pair else { continue };
        let (mine, others) = usize::try_from(end - start)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| SnapshotError::corrupt(name, format!("row {row} reaches beyond the end")))?;
        if !mine.is_sorted_by(|before, after| before < after) {
            return Err(SnapshotError::corrupt(name, format!("row {row} is not ascending")));
        }
        rest = others;
    }
    Ok(())
}

/// Every number is finite.
pub(crate) fn finite_f32(name: &str, numbers: &[f32]) -> Result<(), SnapshotError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(SnapshotError::corrupt(name, format!("entry {at} is not a finite number"))),
        None => Ok(()),
    }
}

/// Every number is finite.
pub(crate) fn finite_f64(name: &str, numbers: &[f64]) -> Result<(), SnapshotError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(SnapshotError::corrupt(name, format!("entry {at} is not a finite number"))),
        None => Ok(()),
    }
}

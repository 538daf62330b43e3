//! A borrowed list of strings with offsets of 32 bits.

use tensor_file::TensorFileError;

/// Strings by row. Offsets and UTF-8 are checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'a> {
    bytes: &'a [u8],
    offsets: &'a [u32],
}

impl<'a> Texts<'a> {
    /// Checks that the offsets start at 0, never decrease and end at the end of the bytes, and that
    /// every row is UTF-8.
    pub(crate) fn check(name: &str, bytes: &'a [u8], offsets: &'a [u32]) -> Result<Self, TensorFileError> {
        let bad = |problem: String| Err(TensorFileError::corrupt(name, problem));
        if offsets.first() != Some(&0) || offsets.last().map(|end| *end as usize) != Some(bytes.len()) {
            return bad(format!("the offsets do not start at 0 and end at {}", bytes.len()));
        }
        if !offsets.is_sorted() {
            return bad("the offsets decrease".to_owned());
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return bad("is not UTF-8".to_owned()) };
        match offsets.iter().position(|offset| !text.is_char_boundary(*offset as usize)) {
            Some(row) => bad(format!("row {row} does not start at a character")),
            None => Ok(Self { bytes, offsets }),
        }
    }

    /// Views that were checked before.
    pub(crate) fn checked(bytes: &'a [u8], offsets: &'a [u32]) -> Self {
        Self { bytes, offsets }
    }

    pub(crate) fn len(self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    pub(crate) fn get(self, row: usize) -> Option<&'a str> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row.checked_add(1)?)?);
        std::str::from_utf8(self.bytes.get(start as usize..end as usize)?).ok()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |row| self.get(row))
    }

    /// Row of a text, if the rows are sorted.
    pub(crate) fn find(self, text: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle)?.cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

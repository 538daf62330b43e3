//! A list of strings in two flat vectors, the layout of the file.

/// Strings by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringTable {
    bytes: Vec<u8>,
    offsets: Vec<u64>,
}

impl Default for StringTable {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl StringTable {
    /// A table without rows, with memory for this number of rows and bytes.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { bytes: Vec::with_capacity(bytes), offsets }
    }

    /// Appends a row.
    pub fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(self.bytes.len() as u64);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// String in a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        string_at(&self.bytes, &self.offsets, row)
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|row| self.get(row))
    }

    /// The rows, concatenated.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Start of each row, then the end of the last.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }
}

impl<T: AsRef<str>> FromIterator<T> for StringTable {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut table = Self::default();
        texts.into_iter().for_each(|text| table.push(text.as_ref()));
        table
    }
}

/// String in `row`; `None` if there is no such row, or if its bytes are not valid UTF-8.
pub fn string_at<'a>(bytes: &'a [u8], offsets: &[u64], row: usize) -> Option<&'a str> {
    std::str::from_utf8(bytes_at(bytes, offsets, row)?).ok()
}

/// Bytes of the string in `row`; `None` if there is no such row. Strings sort as their bytes do.
pub fn bytes_at<'a>(bytes: &'a [u8], offsets: &[u64], row: usize) -> Option<&'a [u8]> {
    let start = usize::try_from(*offsets.get(row)?).ok()?;
    let end = usize::try_from(*offsets.get(row.checked_add(1)?)?).ok()?;
    bytes.get(start..end)
}

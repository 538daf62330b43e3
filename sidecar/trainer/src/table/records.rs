//! Splits delimited text that arrives in chunks of any size into records of bounded size. Columns
//! have no meaning here.

use std::ops::ControlFlow;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::limits::{FIELDS_PER_ROW_MAX, ROW_BYTES_MAX};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// `csv_core` skips the byte order mark only if it arrives in one chunk with the bytes after it.
const FIRST_CHUNK_BYTES_MIN: usize = 4;

/// One record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub(crate) fn len(self) -> usize {
        self.ends.len()
    }

    pub(crate) fn field(self, index: usize) -> Option<&'a [u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(index)?)
    }

    pub(crate) fn fields(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).filter_map(move |index| self.field(index))
    }

    /// Number of lines that the record spans: a quoted field may contain line breaks.
    pub(crate) fn lines(self) -> u64 {
        self.bytes.split(|byte| *byte == b'\n').count() as u64
    }
}

/// A record, or a placeholder for a record that exceeds the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<'a> {
    Record(Record<'a>),
    TooLong { lines: u64 },
}

/// Splits text into records. Memory is bounded by [`ROW_BYTES_MAX`] and [`FIELDS_PER_ROW_MAX`] for
/// any input.
pub(crate) struct RecordCutter {
    core: Reader,
    bytes: Vec<u8>,
    bytes_used: usize,
    ends: Vec<usize>,
    ends_used: usize,
    too_long: bool,
    /// Line at which the current record starts.
    start_line: u64,
    /// First bytes of the file, buffered until a byte order mark can be detected.
    head: Option<Vec<u8>>,
}

impl RecordCutter {
    /// Without `quoting`, quotes are ordinary characters.
    pub(crate) fn new(delimiter: u8, quoting: bool) -> Self {
        Self {
            core: ReaderBuilder::new().delimiter(delimiter).quoting(quoting).build(),
            bytes: vec![0; ROW_BYTES_MAX],
            bytes_used: 0,
            ends: vec![0; FIELDS_PER_ROW_MAX],
            ends_used: 0,
            too_long: false,
            start_line: 1,
            head: Some(Vec::new()),
        }
    }

    /// Processes the next bytes of the file and passes on every record that they complete.
    pub(crate) fn feed<B>(&mut self, chunk: &[u8], each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        let Some(mut head) = self.head.take() else { return self.cut(chunk, each) };
        head.extend_from_slice(chunk);
        if head.len() < FIRST_CHUNK_BYTES_MIN {
            self.head = Some(head);
            return ControlFlow::Continue(());
        }
        self.cut(&head, each)
    }

    /// Processes the end of the file and passes on the last record if no line break ends it.
    pub(crate) fn finish<B>(&mut self, each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        if let Some(head) = self.head.take().filter(|head| head != BYTE_ORDER_MARK) {
            self.cut(&head, each)?;
        }
        while self.step(&[], each)?.is_some() {}
        ControlFlow::Continue(())
    }

    fn cut<B>(&mut self, mut input: &[u8], each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        // An empty input would signal the end of the file to `csv_core`.
        while !input.is_empty() {
            let consumed = self.step(input, each)?.unwrap_or(0);
            input = input.get(consumed..).unwrap_or_default();
        }
        ControlFlow::Continue(())
    }

    /// One call of `csv_core`; returns the number of bytes consumed, or `None` at the end of the
    /// file.
    fn step<B>(
        &mut self,
        input: &[u8],
        each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B, Option<usize>> {
        let bytes = self.bytes.get_mut(self.bytes_used..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ends_used..).unwrap_or_default();
        let (result, consumed, bytes_written, ends_written) = self.core.read_record(input, bytes, ends);
        self.bytes_used += bytes_written;
        self.ends_used += ends_written;
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                // The rest of the record overwrites the buffer and is discarded.
                self.too_long = true;
                self.bytes_used = 0;
                self.ends_used = 0;
            }
            ReadRecordResult::Record => {
                let line = self.core.line();
                let row = if self.too_long {
                    Row::TooLong { lines: line.saturating_sub(self.start_line).max(1) }
                } else {
                    Row::Record(Record {
                        bytes: self.bytes.get(..self.bytes_used).unwrap_or_default(),
                        ends: self.ends.get(..self.ends_used).unwrap_or_default(),
                    })
                };
                each(row)?;
                self.bytes_used = 0;
                self.ends_used = 0;
                self.too_long = false;
                self.start_line = line;
            }
            ReadRecordResult::End => return ControlFlow::Continue(None),
        }
        ControlFlow::Continue(Some(consumed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records of a text that is fed in chunks of `size` bytes; `None` stands for a record that
    /// is too long.
    fn records(text: &[u8], size: usize) -> Vec<Option<Vec<String>>> {
        let mut found = Vec::new();
        let mut each = |row: Row<'_>| {
            found.push(match row {
                Row::Record(record) => {
                    Some(record.fields().map(|field| String::from_utf8_lossy(field).into_owned()).collect())
                }
                Row::TooLong { .. } => None,
            });
            ControlFlow::<()>::Continue(())
        };
        let mut cutter = RecordCutter::new(b',', true);
        for chunk in text.chunks(size) {
            assert!(cutter.feed(chunk, &mut each).is_continue());
        }
        assert!(cutter.finish(&mut each).is_continue());
        found
    }

    fn check(text: &[u8], expected: &[&[&str]]) {
        for size in [1, 2, 3, 7, 1000] {
            let found = records(text, size);
            let expected: Vec<_> =
                expected.iter().map(|row| Some(row.iter().map(ToString::to_string).collect::<Vec<_>>())).collect();
            assert_eq!(found, expected, "{:?} in chunks of {size}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn line_ends_byte_order_marks_quotes_and_blank_lines_do_not_matter() {
        let rows: &[&[&str]] = &[&["u", "i"], &["a", "1"]];
        check(b"u,i\na,1\n", rows);
        check(b"u,i\na,1", rows);
        check(b"u,i\r\na,1\r\n", rows);
        check(b"u,i\ra,1\r", rows);
        check(b"\n\nu,i\n\r\n\na,1\n\n", rows);
        check(b"\xef\xbb\xbfu,i\na,1\n", rows);
        check(b"\"u\",i\n\"a\",\"1\"\n", rows);
        check(b"u,\"x, \"\"y\"\"\nz\"\n", &[&["u", "x, \"y\"\nz"]]);
        check(b"", &[]);
        check(b"\xef\xbb\xbf", &[]);
        check(b"\xef\xbb\xbf\xef\xbb\xbfu,i\n", &[&["\u{feff}u", "i"]]);
        check(b"x", &[&["x"]]);
        check(b"x,\n,", &[&["x", ""], &["", ""]]);
    }

    #[test]
    fn oversized_rows_are_skipped_and_the_next_row_is_read() {
        let long = [b"u,i\n".as_slice(), &vec![b'x'; 3 * ROW_BYTES_MAX], b",1\na,1\n"].concat();
        let wide = [b"u,i\n".as_slice(), &vec![b','; 3 * FIELDS_PER_ROW_MAX], b"\na,1\n"].concat();
        for text in [long, wide] {
            for size in [1000, 1 << 20] {
                let found = records(&text, size);
                assert_eq!(found.len(), 3);
                assert_eq!(found[1], None);
                assert_eq!(found[2], Some(vec!["a".to_owned(), "1".to_owned()]));
            }
        }
    }

    #[test]
    fn lines_inside_an_unclosed_quote_are_counted() {
        let mut lines = Vec::new();
        let mut each = |row: Row<'_>| {
            lines.push(match row {
                Row::Record(record) => record.lines(),
                Row::TooLong { lines } => lines,
            });
            ControlFlow::<()>::Continue(())
        };
        let mut cutter = RecordCutter::new(b',', true);
        assert!(cutter.feed(b"u,i\n\"a\nb\nc\",1\nx,2\n\"open,1\n", &mut each).is_continue());
        for _ in 0..ROW_BYTES_MAX {
            assert!(cutter.feed(b"y,1\n", &mut each).is_continue());
        }
        assert!(cutter.finish(&mut each).is_continue());
        assert_eq!(lines[..3], [1, 3, 1]);
        assert!(lines[3] >= ROW_BYTES_MAX as u64, "{lines:?}");
    }

    proptest::proptest! {
        /// The `csv` crate reads the same records from the whole text as the cutter reads from
        /// chunks of it.
        #[test]
        fn any_text_in_any_chunks_gives_the_records_of_the_csv_crate(text in "[ab,\"\n\r\u{feff}é]{0,60}", size in 1_usize..9) {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Option<Vec<String>>> = reader
                .byte_records()
                .map(|record| Some(record.unwrap().iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect()))
                .collect();
            proptest::prop_assert_eq!(records(text.as_bytes(), size), expected);
        }
    }
}

//! Splits delimited text that arrives in chunks of any size into records of bounded size. Columns
//! have no meaning here.

use std::ops::ControlFlow;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::quote_escape::{self, QuoteEscape};
use crate::limits::{FIELDS_PER_ROW_MAX, ROW_BYTES_MAX};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// `csv_core` skips the byte order mark only if it arrives in one chunk with the bytes after it. A
/// [`separator_line`] fits as well.
const FIRST_CHUNK_BYTES_MIN: usize = 10;
/// Bytes at the start of a file whose records decide how quotes are escaped. They are read twice.
const DECIDING_BYTES: usize = 1 << 20;

/// One record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
    /// Whether quotes are ordinary characters.
    pub(crate) is_unquoted: bool,
    /// Whether a quoted field has a backslash escape.
    pub(crate) has_escape: bool,
    /// What stands between the fields.
    pub(crate) delimiter: u8,
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
        lines(self.bytes)
    }
}

/// Number of lines of a text.
pub(crate) fn lines(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').count() as u64
}

/// A record, or a placeholder for a record that exceeds the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<'a> {
    Record(Record<'a>),
    TooLong { lines: u64 },
}

/// The delimiter that a first line `sep=;` states, and the text after it. Excel reads such a line,
/// and exports for it have one.
fn separator_line(head: &[u8]) -> Option<(u8, &[u8])> {
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let (name, rest) = text.split_at_checked(4)?;
    let (separator, rest) = rest.split_first().filter(|_| name.eq_ignore_ascii_case(b"sep="))?;
    let rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).or_else(|| rest.strip_prefix(b"\r"))?;
    (separator.is_ascii() && !matches!(separator, b'"' | b'\r' | b'\n')).then_some((*separator, rest))
}

/// How quotes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// As ordinary characters, unless they enclose every field of the first record.
    AsInFirstRecord,
    /// As ordinary characters.
    Ordinary,
    /// They enclose fields; `None`: no record has shown an escape yet, and [`QuoteEscape::Doubled`]
    /// is assumed. The first [`DECIDING_BYTES`] decide for all records; if they show none, the
    /// first record that does decides for itself and those after it.
    Enclosing(Option<QuoteEscape>),
}

impl Quotes {
    fn reader(self, delimiter: u8) -> Reader {
        let mut reader = ReaderBuilder::new();
        reader.delimiter(delimiter).quoting(matches!(self, Self::Enclosing(_)));
        reader.escape((self == Self::Enclosing(Some(QuoteEscape::Backslash))).then_some(b'\\'));
        reader.build()
    }

    /// Whether a record has to be known as it is written.
    fn need_raw(self) -> bool {
        !matches!(self, Self::Ordinary | Self::Enclosing(Some(QuoteEscape::Doubled)))
    }
}

/// Splits text into records. Memory is bounded by [`ROW_BYTES_MAX`] and [`FIELDS_PER_ROW_MAX`] for
/// any input.
pub(crate) struct RecordCutter {
    core: Reader,
    delimiter: u8,
    /// Whether a [`separator_line`] sets the delimiter.
    follows_separator_line: bool,
    quotes: Quotes,
    /// The current record as it is written, if [`Quotes::need_raw`].
    raw: Vec<u8>,
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
    /// `is_default`: the delimiter is the format's, not the resource's.
    pub(crate) fn new(delimiter: u8, is_default: bool, quotes: Quotes) -> Self {
        Self {
            core: quotes.reader(delimiter),
            delimiter,
            follows_separator_line: is_default,
            quotes,
            raw: Vec::new(),
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
        if head.len() < if self.quotes.need_raw() { DECIDING_BYTES } else { FIRST_CHUNK_BYTES_MIN } {
            self.head = Some(head);
            return ControlFlow::Continue(());
        }
        self.cut_head(&head, false, each)
    }

    /// Processes the end of the file and passes on the last record if no line break ends it.
    pub(crate) fn finish<B>(&mut self, each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        if let Some(head) = self.head.take().filter(|head| head != BYTE_ORDER_MARK) {
            self.cut_head(&head, true, each)?;
        }
        while self.step(&[], each)?.is_some() {}
        ControlFlow::Continue(())
    }

    /// Cuts the beginning of the file, without a [`separator_line`].
    fn cut_head<B>(
        &mut self,
        head: &[u8],
        is_whole: bool,
        each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (separator, rest) = separator_line(head).map_or((None, head), |(separator, rest)| (Some(separator), rest));
        if let Some(separator) = separator.filter(|_| self.follows_separator_line) {
            self.delimiter = separator;
        }
        if self.quotes.need_raw() {
            self.quotes = quotes_of(rest, is_whole, self.delimiter, self.quotes);
        }
        self.core = self.quotes.reader(self.delimiter);
        self.cut(rest, each)
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
        if self.quotes.need_raw() && !self.too_long {
            self.extend_raw(input.get(..consumed).unwrap_or_default());
        }
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                if self.revise_quotes() {
                    self.cut_again(each)?;
                    return ControlFlow::Continue(Some(consumed));
                }
                // The rest of the record overwrites the buffer and is discarded.
                self.too_long = true;
                self.raw.clear();
                self.bytes_used = 0;
                self.ends_used = 0;
            }
            ReadRecordResult::Record => {
                if self.revise_quotes() {
                    self.cut_again(each)?;
                    return ControlFlow::Continue(Some(consumed));
                }
                let line = self.core.line();
                let row = if self.too_long {
                    Row::TooLong { lines: line.saturating_sub(self.start_line).max(1) }
                } else {
                    Row::Record(Record {
                        bytes: self.bytes.get(..self.bytes_used).unwrap_or_default(),
                        ends: self.ends.get(..self.ends_used).unwrap_or_default(),
                        is_unquoted: self.quotes == Quotes::Ordinary,
                        has_escape: self.has_escape(),
                        delimiter: self.delimiter,
                    })
                };
                each(row)?;
                self.raw.clear();
                self.bytes_used = 0;
                self.ends_used = 0;
                self.too_long = false;
                self.start_line = line;
            }
            ReadRecordResult::End => return ControlFlow::Continue(None),
        }
        ControlFlow::Continue(Some(consumed))
    }

    /// Line breaks before a record are not part of it.
    fn extend_raw(&mut self, bytes: &[u8]) {
        let breaks =
            if self.raw.is_empty() { bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count() } else { 0 };
        self.raw.extend_from_slice(bytes.get(breaks..).unwrap_or_default());
    }

    /// Decides on quotes by the current record; returns whether it has to be cut again.
    fn revise_quotes(&mut self) -> bool {
        let bytes = self.bytes.get(..self.bytes_used).unwrap_or_default();
        match self.quotes {
            Quotes::AsInFirstRecord => {
                let ends = self.ends.get(..self.ends_used).unwrap_or_default();
                let record = Record { bytes, ends, is_unquoted: true, has_escape: false, delimiter: self.delimiter };
                let is_enclosed = |field: &[u8]| matches!(field.trim_ascii(), [b'"', .., b'"']);
                let are_enclosed = record.len() > 0 && record.fields().all(is_enclosed);
                self.quotes = if are_enclosed { Quotes::Enclosing(None) } else { Quotes::Ordinary };
                are_enclosed
            }
            Quotes::Enclosing(None) if self.raw.contains(&b'\\') || bytes.contains(&b'"') => {
                let shown = quote_escape::shown_by(&self.raw, self.delimiter);
                self.quotes = Quotes::Enclosing(shown);
                shown == Some(QuoteEscape::Backslash)
            }
            Quotes::Ordinary | Quotes::Enclosing(_) => false,
        }
    }

    /// Cuts the current record again, as the revised quotes require. It may then end earlier, or
    /// with the text that follows.
    fn cut_again<B>(&mut self, each: &mut impl FnMut(Row<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        self.core = self.quotes.reader(self.delimiter);
        (self.bytes_used, self.ends_used, self.start_line) = (0, 0, 1);
        let raw = std::mem::take(&mut self.raw);
        self.cut(&raw, each)
    }

    fn has_escape(&self) -> bool {
        self.quotes == Quotes::Enclosing(Some(QuoteEscape::Backslash))
            && self.raw.windows(2).any(|pair| matches!(pair, [b'\\', b'"' | b'\\']))
    }
}

/// Quotes as the records of a text show them; `is_whole`: the text does not end within a record.
fn quotes_of(text: &[u8], is_whole: bool, delimiter: u8, quotes: Quotes) -> Quotes {
    let mut cutter = RecordCutter { head: None, ..RecordCutter::new(delimiter, false, quotes) };
    let mut ignored = |_: Row<'_>| ControlFlow::<()>::Continue(());
    for part in text.chunks(ROW_BYTES_MAX) {
        // It never breaks.
        let _: ControlFlow<()> = cutter.cut(part, &mut ignored);
        if !matches!(cutter.quotes, Quotes::AsInFirstRecord | Quotes::Enclosing(None)) {
            return cutter.quotes;
        }
    }
    if is_whole {
        let _: ControlFlow<()> = cutter.finish(&mut ignored);
    }
    cutter.quotes
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
        let mut cutter = RecordCutter::new(b',', true, Quotes::Enclosing(None));
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
        check(b"sep=;\r\nu;i\r\na;1\r\n", rows);
        check(b"\xef\xbb\xbfSEP=\t\nu\ti\na\t1\n", rows);
        check(b"sep=,i\na,1\n", &[&["sep=", "i"], &["a", "1"]]);
    }

    #[test]
    fn quotes_are_escaped_as_the_first_record_shows_that_has_an_escape() {
        check(
            b"u,i\n\"C:\\\\\",1\na,\"12\\\"\"\nb,\"say \\\"hi\\\", he\nsaid \\\\\"\n",
            &[&["u", "i"], &["C:\\", "1"], &["a", "12\""], &["b", "say \"hi\", he\nsaid \\"]],
        );
        check(b"\"say \"\"hi\"\"\",1\n\"x\\\"\",y\",2\n", &[&["say \"hi\"", "1"], &["x\\\",y", "2"]]);
    }

    #[test]
    fn an_escape_that_swallowed_lines_gives_them_back() {
        let rows = "b,2\n".repeat(ROW_BYTES_MAX);
        // The second text shows its escape after the bytes that decide.
        for before in [1, DECIDING_BYTES] {
            let text = format!("{}\"12\\\"\",1\n{rows}\"c\",3\n", "u,i\n".repeat(before));
            let found = records(text.as_bytes(), 1 << 16);
            assert_eq!(found.len(), before + 2 + ROW_BYTES_MAX);
            assert_eq!(found[before], Some(vec!["12\"".to_owned(), "1".to_owned()]));
            assert_eq!(found[before + 1], Some(vec!["b".to_owned(), "2".to_owned()]));
        }
    }

    #[test]
    fn blank_lines_before_a_record_are_not_kept() {
        let mut cutter = RecordCutter::new(b',', true, Quotes::Enclosing(None));
        let mut each = |_: Row<'_>| ControlFlow::<()>::Continue(());
        for _ in 0..100 {
            assert!(cutter.feed(&vec![b'\n'; ROW_BYTES_MAX], &mut each).is_continue());
        }
        assert!(cutter.raw.capacity() < ROW_BYTES_MAX);
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
        let mut cutter = RecordCutter::new(b',', true, Quotes::Enclosing(None));
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

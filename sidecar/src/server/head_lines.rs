//! How the lines of a request head end. hyper accepts a line feed alone, as RFC 9112 (2.2) permits;
//! a proxy in front that takes it for a part of a value reads other headers than the server.

/// How the lines of a head end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// All with carriage return and line feed.
    Crlf,
    /// Some with a line feed alone.
    BareLf,
}

/// Finds the end of a head that arrives in pieces.
#[derive(Debug, Default)]
pub struct HeadLines {
    /// Whether the request line has begun: empty lines before it are ignored.
    has_begun: bool,
    has_bare_lf: bool,
    line: Line,
}

/// The current line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    /// A carriage return, and before it nothing.
    EmptyThenCr,
    Text,
    TextThenCr,
}

impl HeadLines {
    /// Reads a piece. At the end of the head, returns the number of bytes of the piece that belong
    /// to it, and how its lines end; the next piece is then of another head.
    pub fn scan(&mut self, piece: &[u8]) -> Option<(usize, LineEnds)> {
        for (index, byte) in piece.iter().enumerate() {
            self.line = match (byte, self.line) {
                (b'\n', line) => {
                    self.has_bare_lf |= matches!(line, Line::Empty | Line::Text);
                    let is_empty = matches!(line, Line::Empty | Line::EmptyThenCr);
                    if is_empty && self.has_begun {
                        let ends = if self.has_bare_lf { LineEnds::BareLf } else { LineEnds::Crlf };
                        *self = Self::default();
                        return Some((index + 1, ends));
                    }
                    Line::Empty
                }
                (b'\r', Line::Empty) => Line::EmptyThenCr,
                (b'\r', _) => Line::TextThenCr,
                (_, _) => {
                    self.has_begun = true;
                    Line::Text
                }
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_and_the_line_ends_are_found_in_any_pieces() {
        let cases: [(&str, LineEnds); 6] = [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", LineEnds::Crlf),
            ("\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", LineEnds::Crlf),
            ("GET / HTTP/1.1\nhost: x\r\n\r\n", LineEnds::BareLf),
            ("GET / HTTP/1.1\r\nhost: x\r\n\n", LineEnds::BareLf),
            ("GET / HTTP/1.1\r\nx-a: a\nb: c\r\n\r\n", LineEnds::BareLf),
            ("\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", LineEnds::BareLf),
        ];
        for (head, ends) in cases {
            let bytes = [head.as_bytes(), b"body\n"].concat();
            for size in 1..=bytes.len() {
                let mut lines = HeadLines::default();
                let mut before = 0;
                let found = bytes.chunks(size).find_map(|piece| {
                    let found = lines.scan(piece);
                    before += piece.len();
                    found.map(|(length, ends)| (before - piece.len() + length, ends))
                });
                assert_eq!(found, Some((head.len(), ends)), "{head:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_incomplete_head_has_no_end() {
        for head in ["", "\r\n\r\n", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n\r", "GET / HTTP/1.1\r\nx\r\r\r"] {
            assert_eq!(HeadLines::default().scan(head.as_bytes()), None, "{head:?}");
        }
    }
}

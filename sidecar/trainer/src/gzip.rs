//! Gzip files of one or more members. Zeros after a member are padding, for example of a tape or of
//! a file system, as for the program gzip.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Decompresses all members.
pub(crate) struct Members<R> {
    /// `None` after the last member.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> Members<R> {
    pub(crate) fn new(compressed: R) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::new(compressed))) }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(member) = self.member.take() else { break };
            let mut rest = member.into_inner();
            if skip_zeros(&mut rest)? {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Skips zeros; whether other bytes follow.
fn skip_zeros(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = rest.fill_buf()?;
        let (length, zeros) = (buffer.len(), buffer.iter().take_while(|byte| **byte == 0).count());
        rest.consume(zeros);
        if length == 0 || zeros < length {
            return Ok(length > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn member(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn decompress(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Members::new(bytes).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_each_other_and_zeros_are_padding() {
        let (a, b) = (member("first,"), member("second"));
        let zeros = vec![0; 100_000];
        assert_eq!(decompress(&a).unwrap(), "first,");
        assert_eq!(decompress(&[&*a, &*member(""), &*b].concat()).unwrap(), "first,second");
        assert_eq!(decompress(&[&*a, &*zeros].concat()).unwrap(), "first,");
        assert_eq!(decompress(&[&*a, &*zeros, &*b, &[0]].concat()).unwrap(), "first,second");
        assert!(decompress(&[&*a, b"garbage"].concat()).is_err());
        assert!(decompress(&a[..a.len() - 1]).is_err());
        assert!(decompress(&[]).is_err());
    }
}

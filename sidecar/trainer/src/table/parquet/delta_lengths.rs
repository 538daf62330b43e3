//! Lengths in `DELTA_BINARY_PACKED`, with which pages of byte arrays begin.
//!
//! The decoders allocate as many values as such a list declares before they read one, so it is read
//! here first.

/// Values of a cursor: bytes that were not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number in groups of seven bits, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.take(1)? else { return None };
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i32> {
        let number = self.varint()?;
        i32::try_from((number >> 1).cast_signed() ^ -(number & 1).cast_signed()).ok()
    }
}

/// Reads at most this many lengths; returns them and the bytes that follow. `None` if there are
/// more, or if the list is damaged.
pub(super) fn read(data: &[u8], count_max: usize) -> Option<(Vec<i32>, &[u8])> {
    let mut rest = Rest(data);
    let block = usize::try_from(rest.varint()?).ok()?;
    let parts = usize::try_from(rest.varint()?).ok().filter(|parts| *parts > 0)?;
    let count = usize::try_from(rest.varint()?).ok().filter(|count| *count <= count_max)?;
    let first = rest.zigzag()?;
    // A part is a number of whole bytes at any width.
    let part = block.checked_div(parts).filter(|part| part * parts == block && *part > 0 && part.is_multiple_of(8))?;
    let mut lengths = Vec::new();
    let mut last = first;
    lengths.extend((count > 0).then_some(first));
    while lengths.len() < count {
        let min_delta = rest.zigzag()?;
        for width in rest.take(parts)? {
            // Parts without values have no bytes.
            let values = part.min(count - lengths.len());
            if values == 0 {
                break;
            }
            let width = usize::from(*width);
            let packed = rest.take(width.checked_mul(part / 8)?)?;
            for value in 0..values {
                last = last.wrapping_add(min_delta).wrapping_add(unpacked(packed, value, width)?);
                lengths.push(last);
            }
        }
    }
    Some((lengths, rest.0))
}

/// The value at an index of packed values of this many bits; `None` if it has more than 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are kept")]
fn unpacked(packed: &[u8], index: usize, width: usize) -> Option<i32> {
    if width == 0 {
        return Some(0);
    }
    if width > 32 {
        return None;
    }
    let bit = index.checked_mul(width)?;
    let bytes = packed.get(bit / 8..)?.iter().take(5).rev();
    let word = bytes.fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    Some(((word >> (bit % 8)) as u32 & (u32::MAX >> (32 - width))).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_the_formats_document_are_read() {
        // The second example of "Delta encoding" in the format's Encodings.md: 7, 5, 3, 1, 2, 3, 4,
        // 5 in blocks of 128 values in four parts; its deltas have the minimum -2 and two bits.
        let mut data = vec![0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0];
        // 0, 0, 0, 3, 3, 3, 3 at two bits, the lowest first; a part has 32 values.
        data.extend([0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0]);
        data.extend([9, 9]);
        assert_eq!(read(&data, 8), Some((vec![7, 5, 3, 1, 2, 3, 4, 5], [9, 9].as_slice())));
        assert_eq!(read(&data, 7), None);
        assert_eq!(read(&data[..17], 8), None);
    }

    #[test]
    fn declared_sizes_allocate_nothing() {
        // 2^40 values; then parts of 2^62 bytes each.
        assert_eq!(read(&[0x80, 0x01, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0], 1 << 24), None);
        let block = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
        assert_eq!(read(&[block.as_slice(), &[1, 8, 0, 0, 32]].concat(), 8), None);
        assert_eq!(read(&[], 8), None);
    }
}

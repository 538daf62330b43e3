//! The bytes of a file, mapped or in memory, and views of them as numbers. The only module with
//! unsafe code.
//!
//! Two operations cannot be expressed in safe Rust:
//!
//! - Mapping a file: its bytes are shared with the file system, so a write to the mapped file
//!   changes the content of a `&[u8]`. Therefore only a [`PrivateFile`] may be mapped.
//! - Viewing bytes as numbers: [`Number`] is sealed to types without padding for which every bit
//!   pattern is valid.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::private_file::PrivateFile;

#[cfg(target_endian = "big")]
compile_error!("files are little-endian and are mapped without conversion");

/// Alignment of every tensor: the size of a cache line and of the largest vector register.
pub const ALIGNMENT_BYTES: usize = 64;

/// Bytes that are read at once.
const READ_BYTES: usize = 16_384 * ALIGNMENT_BYTES;

/// Bytes of a file, aligned to [`ALIGNMENT_BYTES`].
pub struct Buffer(Storage);

enum Storage {
    Mapped(memmap2::Mmap),
    InMemory { lines: Vec<Line>, len: usize },
}

/// One aligned block of memory.
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT_BYTES]);

impl Buffer {
    /// Maps the file. Fails for an empty file, which cannot be mapped.
    pub fn map(file: &PrivateFile) -> io::Result<Self> {
        let file = File::open(file.path())?;
        // SAFETY: the mapping is read-only and private to this type. The type of the file ensures
        // that nothing writes to it.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self(Storage::Mapped(map)))
    }

    /// Reads a file, whatever happens to it later.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let expected = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut copy = CopyBuilder::with_capacity(expected);
        let mut bytes = vec![0; READ_BYTES];
        loop {
            let filled = fill(&mut file, &mut bytes)?;
            let read = bytes.get(..filled).unwrap_or_default();
            copy.append(read);
            if filled < READ_BYTES {
                return Ok(copy.finish());
            }
        }
    }

    /// Copies `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = CopyBuilder::with_capacity(bytes.len());
        copy.append(bytes);
        copy.finish()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Storage::Mapped(map) => map,
            Storage::InMemory { lines, len } => {
                debug_assert!(*len <= lines.len() * ALIGNMENT_BYTES);
                // SAFETY: `lines` owns `len` or more initialized bytes at this address: only
                // `CopyBuilder` constructs the variant, and it appends whole lines before the last.
                // `Line` is `repr(C)` without padding.
                unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<u8>(), *len) }
            }
        }
    }
}

/// A copy that grows. All parts but the last are whole lines.
struct CopyBuilder {
    lines: Vec<Line>,
    len: usize,
}

impl CopyBuilder {
    fn with_capacity(bytes: usize) -> Self {
        Self { lines: Vec::with_capacity(bytes.div_ceil(ALIGNMENT_BYTES)), len: 0 }
    }

    fn append(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<ALIGNMENT_BYTES>();
        self.lines.extend(whole.iter().map(|line| Line(*line)));
        if !rest.is_empty() {
            let mut line = Line([0; ALIGNMENT_BYTES]);
            line.0.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.lines.push(line);
        }
        self.len += bytes.len();
    }

    fn finish(self) -> Buffer {
        Buffer(Storage::InMemory { lines: self.lines, len: self.len })
    }
}

/// Reads until `bytes` is full or the file ends; returns the number of bytes.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Numbers for which every bit pattern is valid.
pub trait Number: Copy + sealed::Sealed {}
impl<T: Copy + sealed::Sealed> Number for T {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Views the bytes as numbers; `None` if they are not aligned for the type or their length is not a
/// multiple of its size.
pub fn numbers<T: Number>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: `T` is sealed to integers and floats: every bit pattern is valid and there is no
    // padding. `align_to` returns a correctly aligned middle.
    let (before, middle, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_aligned_and_equal() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let buffer = Buffer::copy_of(&bytes);
            assert_eq!(buffer.bytes(), bytes);
            assert_eq!(buffer.bytes().as_ptr().align_offset(ALIGNMENT_BYTES), 0);
        }
    }

    #[test]
    fn files_are_read_in_parts_and_stay_equal_when_they_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for len in [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 2 * READ_BYTES + 65] {
            let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            std::fs::write(file.path(), &bytes).unwrap();
            let buffer = Buffer::read(file.path()).unwrap();
            std::fs::write(file.path(), "another").unwrap();
            assert!(buffer.bytes() == bytes, "{len} bytes");
            assert_eq!(buffer.bytes().as_ptr().align_offset(ALIGNMENT_BYTES), 0);
        }
    }

    #[test]
    fn number_views_are_little_endian_and_require_alignment() {
        let buffer = Buffer::copy_of(&[1, 0, 0, 0, 0, 0, 128, 63]);
        assert_eq!(numbers::<u32>(buffer.bytes()), Some([1, 0x3f80_0000].as_slice()));
        assert_eq!(numbers::<f32>(&buffer.bytes()[4..]), Some([1.0].as_slice()));
        assert_eq!(numbers::<u32>(&buffer.bytes()[1..5]), None);
        assert_eq!(numbers::<u32>(&buffer.bytes()[..7]), None);
    }
}

//! The bytes of a snapshot, mapped or in memory, and views of them as numbers. The only module with
//! unsafe code.
//!
//! Two operations cannot be expressed in safe Rust:
//!
//! - Mapping a file: its bytes are shared with the file system, so a write to the mapped file
//!   changes the content of a `&[u8]`. Therefore only a verified, read-only, private copy may be
//!   mapped (see [`crate::Snapshot::open`]).
//! - Viewing bytes as numbers: [`Number`] is sealed to types without padding for which every bit
//!   pattern is valid.
#![allow(unsafe_code)]

use std::{fs::File, io, path::Path};

#[cfg(target_endian = "big")]
compile_error!("snapshots are little-endian and are mapped without conversion");

/// Alignment of every tensor: the size of a cache line and of the largest vector register.
pub(crate) const ALIGNMENT_BYTES: usize = 64;

/// Bytes of a file, aligned to [`ALIGNMENT_BYTES`].
pub(crate) enum Buffer {
    Mapped(memmap2::Mmap),
    InMemory { lines: Vec<Line>, len: usize },
}

/// One aligned block of memory.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; ALIGNMENT_BYTES]);

impl Buffer {
    /// Maps the file. Fails for an empty file, which cannot be mapped.
    pub(crate) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and private to this type. That no process writes to the
        // file is the documented precondition of `Snapshot::open`, as of any mapping.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self::Mapped(map))
    }

    /// Copies `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let lines = bytes
            .chunks(ALIGNMENT_BYTES)
            .map(|chunk| {
                let mut line = Line([0; ALIGNMENT_BYTES]);
                line.0.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
                line
            })
            .collect();
        Self::InMemory { lines, len: bytes.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::InMemory { lines, len } => {
                debug_assert!(*len <= lines.len() * ALIGNMENT_BYTES);
                // SAFETY: `lines` owns `len` or more initialized bytes at this address: only
                // `copy_of` constructs the variant, and it ensures this. `Line` is `repr(C)`
                // without padding.
                unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<u8>(), *len) }
            }
        }
    }
}

/// Numbers for which every bit pattern is valid.
pub(crate) trait Number: Copy + sealed::Sealed {}
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
pub(crate) fn numbers<T: Number>(bytes: &[u8]) -> Option<&[T]> {
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
    fn number_views_are_little_endian_and_require_alignment() {
        let buffer = Buffer::copy_of(&[1, 0, 0, 0, 0, 0, 128, 63]);
        assert_eq!(numbers::<u32>(buffer.bytes()), Some([1, 0x3f80_0000].as_slice()));
        assert_eq!(numbers::<f32>(&buffer.bytes()[4..]), Some([1.0].as_slice()));
        assert_eq!(numbers::<u32>(&buffer.bytes()[1..5]), None);
        assert_eq!(numbers::<u32>(&buffer.bytes()[..7]), None);
    }
}

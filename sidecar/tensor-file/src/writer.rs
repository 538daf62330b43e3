//! Writes bytes and computes their digest, in one pass with a small buffer.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use sidecar_contract::Digest;

/// Buffer size for hashing and writing.
const BUFFER_BYTES: usize = 64 * 1024;

/// Digest and size of a written file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of all bytes.
    pub digest: Digest,
    /// Size of the file.
    pub bytes: u64,
}

/// Writer of a file that is hashed on the way.
pub struct TensorWriter<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<W: Write> TensorWriter<W> {
    /// A writer to `out`.
    pub fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), bytes: 0, buffer: Vec::with_capacity(BUFFER_BYTES) }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// SHA-256 of what was written so far.
    pub fn checksum(&mut self) -> io::Result<[u8; 32]> {
        self.flush()?;
        Ok(self.hash.clone().finalize().into())
    }

    /// Writes what is buffered; returns digest and size.
    pub fn finish(mut self) -> io::Result<Written> {
        self.flush()?;
        self.out.flush()?;
        Ok(Written { digest: Digest::from_hash(self.hash.finalize().into()), bytes: self.bytes })
    }
}

//! Random access to a file in blocks, with few requests for any access pattern of the decoder and
//! with bounded memory.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

use super::super::COLUMNS_REQUESTED_MAX;
use crate::{failure::RunError, limits::PARQUET_COLUMN_BYTES_MAX, source::ReadAt};

/// Bytes of one request.
const BLOCK_BYTES: usize = 4 << 20;
/// Maximum number of cached blocks: each requested column reads sequentially within its own block,
/// and one more has the footer or the next block of a column.
const BLOCKS_CACHED_MAX: usize = COLUMNS_REQUESTED_MAX + 1;

/// A file in blocks.
#[derive(Clone)]
pub(super) struct Blocks {
    shared: Arc<Shared>,
}

struct Shared {
    file: Arc<dyn ReadAt>,
    /// Number and content of each cached block, in order of last use.
    cached: Mutex<Vec<(u64, Bytes)>>,
}

/// Reads sequentially from a position.
pub(super) struct BlockReader {
    blocks: Blocks,
    position: u64,
}

impl Blocks {
    pub(super) fn new(file: Arc<dyn ReadAt>) -> Self {
        Self { shared: Arc::new(Shared { file, cached: Mutex::default() }) }
    }

    /// The rest of a block, starting at `position`; empty at the end of the file.
    fn from(&self, position: u64) -> std::result::Result<Bytes, RunError> {
        let size = self.shared.file.size_bytes();
        if position >= size {
            return Ok(Bytes::new());
        }
        let number = position / BLOCK_BYTES as u64;
        let start = number * BLOCK_BYTES as u64;
        let mut cached = self.shared.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let block = if let Some(at) = cached.iter().position(|(other, _)| *other == number) {
            cached.remove(at).1
        } else {
            let length = usize::try_from(size - start).unwrap_or(usize::MAX).min(BLOCK_BYTES);
            if cached.len() >= BLOCKS_CACHED_MAX {
                cached.remove(0);
            }
            self.shared.file.read_at(start, length)?
        };
        cached.push((number, block.clone()));
        let skipped = usize::try_from(position - start).unwrap_or(usize::MAX);
        Ok(block.get(skipped..).map(|rest| block.slice_ref(rest)).unwrap_or_default())
    }
}

impl Length for Blocks {
    fn len(&self) -> u64 {
        self.shared.file.size_bytes()
    }
}

impl ChunkReader for Blocks {
    type T = BlockReader;

    fn get_read(&self, start: u64) -> Result<BlockReader> {
        Ok(BlockReader { blocks: self.clone(), position: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let external = |error: RunError| ParquetError::External(Box::new(error));
        if length as u64 > PARQUET_COLUMN_BYTES_MAX {
            return Err(ParquetError::General(format!(
                "a chunk of {length} bytes exceeds the maximum of {PARQUET_COLUMN_BYTES_MAX}"
            )));
        }
        let first = self.from(start).map_err(external)?;
        if let Some(chunk) = first.get(..length) {
            return Ok(first.slice_ref(chunk));
        }
        let mut chunk = BytesMut::new();
        let mut next = first;
        loop {
            let missing = length - chunk.len();
            chunk.extend_from_slice(next.get(..missing).unwrap_or(&next));
            if chunk.len() == length {
                return Ok(chunk.freeze());
            }
            next = self.from(start + chunk.len() as u64).map_err(external)?;
            if next.is_empty() {
                return Err(ParquetError::EOF(format!("the file ends {} bytes early", length - chunk.len())));
            }
        }
    }
}

impl Read for BlockReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let block = self.blocks.from(self.position).map_err(io::Error::other)?;
        let length = block.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..length), block.get(..length)) {
            to.copy_from_slice(from);
        }
        self.position += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory(Vec<u8>, Mutex<usize>);

    impl ReadAt for Memory {
        fn size_bytes(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, start: u64, length: usize) -> std::result::Result<Bytes, RunError> {
            *self.1.lock().unwrap() += 1;
            let start = usize::try_from(start).unwrap();
            Ok(Bytes::copy_from_slice(&self.0[start..start + length]))
        }
    }

    #[test]
    fn chunks_equal_the_content_and_each_block_is_requested_once() {
        let content: Vec<u8> = (0_u8..251).cycle().take(BLOCK_BYTES * 3 + 77).collect();
        let memory = Arc::new(Memory(content.clone(), Mutex::new(0)));
        let blocks = Blocks::new(memory.clone());
        for (start, length) in
            [(0, 10), (100, 1000), (BLOCK_BYTES - 5, 10), (5, 2 * BLOCK_BYTES + 9), (3 * BLOCK_BYTES + 70, 7), (7, 0)]
        {
            assert_eq!(blocks.get_bytes(start as u64, length).unwrap(), content[start..start + length]);
        }
        assert_eq!(*memory.1.lock().unwrap(), 4);
        assert!(blocks.get_bytes(content.len() as u64 - 3, 4).is_err());
        let mut all = Vec::new();
        blocks.get_read(3).unwrap().read_to_end(&mut all).unwrap();
        assert_eq!(all, content[3..]);
    }
    #[test]
    fn columns_that_are_read_in_turn_request_each_block_once() {
        let content = vec![7; BLOCK_BYTES * COLUMNS_REQUESTED_MAX];
        let memory = Arc::new(Memory(content, Mutex::new(0)));
        let blocks = Blocks::new(memory.clone());
        for page in 0..4 {
            for column in 0..COLUMNS_REQUESTED_MAX {
                blocks.get_bytes((column * BLOCK_BYTES + page * 1000) as u64, 1000).unwrap();
            }
        }
        assert_eq!(*memory.1.lock().unwrap(), COLUMNS_REQUESTED_MAX);
    }
}

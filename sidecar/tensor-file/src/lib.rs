//! Files of named arrays: the `safetensors` container that snapshots and catalogues share. A file
//! is written in one pass with its digest, and mapped or copied to be read. This crate knows
//! nothing of what the arrays mean.
//!
//! The container is an 8-byte length, a JSON header, then the tensors. Every tensor starts at a
//! multiple of 64 bytes. The standard allows no gaps, so `_pad.<name>` tensors of fewer than 64
//! zero bytes fill them. The only metadata key, `recmesh`, contains the JSON of the file's own
//! format.
//!
//! A reader parses the [`Container`], takes the range of each tensor by name, type and shape, views
//! it as [`numbers`], and validates the content with [`check`].

mod buffer;
pub mod check;
mod container;
mod contents;
mod error;
mod private_file;
mod strings;
mod writer;

pub use buffer::{ALIGNMENT_BYTES, Buffer, Number, numbers};
pub use container::{Container, Dtype, PlannedTensor, head};
pub use contents::Contents;
pub use error::TensorFileError;
pub use private_file::{PrivateDirectory, PrivateFile};
pub use strings::{StringTable, bytes_at, string_at};
pub use writer::{TensorWriter, Written};

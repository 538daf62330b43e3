//! `recmesh-sidecar recommend --all`: the lists of all users in one file.

use std::path::Path;

use answering::{DEFAULT_VARIANT, Local};
use anyhow::Result;
use sidecar_contract::ServingMode;

use crate::{
    all_lists::{self, Written},
    list_file::ListFormat,
    loading::{self, Verification},
};

/// Writes `n` items for each user of a model; the format is that of the file's extension.
///
/// # Errors
/// A model file that cannot serve, an unknown extension, or a file that cannot be written.
pub fn run(model: &Path, n: usize, output: &Path) -> Result<()> {
    let format = ListFormat::of(output)?;
    let local = Local::new(loading::open(model, Verification::Any)?, DEFAULT_VARIANT, ServingMode::Personalized);
    let Written { users, .. } = all_lists::write(&local, n, output, format)?;
    eprintln!("{}: the lists of {users} users", output.display());
    Ok(())
}

//! `recmesh-sidecar recommend --all`: the lists of all users in one file.

use std::path::Path;

use anyhow::Result;

use crate::{
    all_lists::{self, Written},
    args::RecommendArgs,
    list_file::ListFormat,
    loading,
};

/// Writes the items of each user of a model; the format is that of the file's extension.
///
/// # Errors
/// A model file that cannot serve, an unknown extension, or a file that cannot be written.
pub fn run(args: &RecommendArgs, output: &Path) -> Result<()> {
    let format = ListFormat::of(output)?;
    let local = loading::open_with_catalogue(&args.model, args.catalogue.as_deref())?;
    let Written { users, .. } = all_lists::write(&local, args.n, output, format)?;
    eprintln!("{}: the lists of {users} users", output.display());
    Ok(())
}

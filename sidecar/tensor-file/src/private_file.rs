//! Files that may be mapped, because only this program writes to them.
//!
//! Bytes of a mapped file change when someone writes to it, and a read beyond the end of a file
//! that was truncated kills the process (SIGBUS). So the precondition of a map is a type: a file in
//! a directory that the program has taken for itself. All other files are copied.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Access for the owner only.
const OWNER_ONLY: u32 = 0o700;

/// A directory that only this program writes to: a cache, or a temporary directory. Its files are
/// replaced and removed, but never written to while they are mapped.
#[derive(Clone, Debug)]
pub struct PrivateDirectory(PathBuf);

/// A file in a [`PrivateDirectory`].
#[derive(Clone, Debug)]
pub struct PrivateFile(PathBuf);

impl PrivateDirectory {
    /// Creates the directory if it does not exist, and closes it to other users.
    ///
    /// # Errors
    /// The directory cannot be created, is not a directory, or belongs to another user.
    pub fn create(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(path)?;
        // Only the owner may change permissions, so this also checks the owner.
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))?;
        Ok(Self(path.to_owned()))
    }

    /// A file of this directory, present or not; `None` if `name` has more than one component.
    pub fn file(&self, name: &str) -> Option<PrivateFile> {
        let is_name = Path::new(name).file_name().is_some_and(|last| last == name);
        is_name.then(|| PrivateFile(self.0.join(name)))
    }
}

impl PrivateFile {
    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_directory_is_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let directory = PrivateDirectory::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER_ONLY);
        assert_eq!(directory.file("model").unwrap().path(), path.join("model"));
        for name in ["", "..", "../model", "/model", "sub/model", "model/"] {
            assert!(directory.file(name).is_none(), "{name}");
        }
        fs::write(parent.path().join("file"), "").unwrap();
        assert!(PrivateDirectory::create(&parent.path().join("file")).is_err());
    }
}

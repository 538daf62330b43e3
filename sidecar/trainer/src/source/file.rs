//! Files on a volume, from a ConfigMap, or from the command line. A directory stands for all files
//! below it.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::{Value, json};
use sidecar_contract::{Digest, canonical_json};

use super::{FILES_MAX, Part, ReadAt, Stat, is_data, no_files, not_found, reject_tables, too_many_files};
use crate::failure::RunError;

/// The version of mounted files up to this size is derived from their content: a ConfigMap (1 MiB
/// or less) is mounted with new modification times in every pod.
const CONTENT_VERSION_BYTES_MAX: u64 = 1 << 20;
/// Maximum depth of a directory below a source; symbolic links may form cycles.
const DIRECTORY_DEPTH_MAX: usize = 16;

/// Maximum number of existing names in a message about a missing file.
const NAMES_MAX: usize = 10;

pub(super) struct FileSource {
    path: PathBuf,
    /// Root of the volume or ConfigMap that Kubernetes mounted.
    mount: Option<PathBuf>,
    spec_field: &'static str,
}

impl FileSource {
    pub(super) fn new(path: &str, data_dir: &Path, spec_field: &'static str) -> Self {
        let path = PathBuf::from(path);
        let below = path.strip_prefix(data_dir).ok().and_then(|below| below.components().next());
        let mount = below.map(|first| data_dir.join(first));
        Self { path, mount, spec_field }
    }

    pub(super) fn stat(&self, described_as: &str) -> Result<Stat, RunError> {
        let failed = |error| self.failed(&self.path, described_as, &error);
        let metadata = std::fs::metadata(&self.path).map_err(failed)?;
        if metadata.is_dir() {
            return self.stat_directory(described_as);
        }
        if !metadata.is_file() {
            return Err(not_found(format!(
                "{described_as} ({}) is neither a file nor a directory",
                self.path.display()
            )));
        }
        let size_bytes = metadata.len();
        let version_key = if self.mount.is_some() && size_bytes <= CONTENT_VERSION_BYTES_MAX {
            json!({ "content": Digest::of(&std::fs::read(&self.path).map_err(failed)?) })
        } else {
            version_key(&self.path.to_string_lossy(), &metadata).map_err(failed)?
        };
        let name = self.path.to_string_lossy().into_owned();
        Ok(Stat {
            version: Digest::of(canonical_json(&version_key).as_bytes()),
            size_bytes,
            parts: vec![Part { name, described_as: described_as.to_owned(), size_bytes }],
        })
    }

    /// Every file below the directory, ordered by path; follows symbolic links.
    fn stat_directory(&self, described_as: &str) -> Result<Stat, RunError> {
        let mut found: Vec<(String, Metadata)> = Vec::new();
        let mut directories = vec![(self.path.clone(), 0)];
        while let Some((directory, depth)) = directories.pop() {
            let failed = |error| self.failed(&directory, described_as, &error);
            for entry in std::fs::read_dir(&directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let below = path.strip_prefix(&self.path).unwrap_or(&path).to_string_lossy().into_owned();
                reject_tables(&below, described_as)?;
                // Size 1: the actual size is checked below.
                if !is_data(&below, 1) {
                    continue;
                }
                let metadata = std::fs::metadata(&path).map_err(|error| self.failed(&path, described_as, &error))?;
                if metadata.is_dir() {
                    if depth == DIRECTORY_DEPTH_MAX {
                        return Err(RunError::bad_data(format!(
                            "{described_as}: {below} is more than {DIRECTORY_DEPTH_MAX} directories deep, or a link to a directory above it. Move its \
                             files up, or remove the link"
                        )));
                    }
                    directories.push((path, depth + 1));
                } else if metadata.is_file() && is_data(&below, metadata.len()) {
                    found.push((below, metadata));
                }
                if found.len() > FILES_MAX || directories.len() > FILES_MAX {
                    return Err(too_many_files(described_as));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        if found.is_empty() {
            return Err(no_files(described_as));
        }
        let failed = |error| self.failed(&self.path, described_as, &error);
        let known: Vec<Value> = found
            .iter()
            .map(|(below, metadata)| version_key(below, metadata))
            .collect::<io::Result<_>>()
            .map_err(failed)?;
        let parts: Vec<Part> = found
            .into_iter()
            .map(|(below, metadata)| Part {
                name: self.path.join(&below).to_string_lossy().into_owned(),
                described_as: format!("{below} of {described_as}"),
                size_bytes: metadata.len(),
            })
            .collect();
        Ok(Stat {
            version: Digest::of(canonical_json(&known).as_bytes()),
            size_bytes: parts.iter().map(|part| part.size_bytes).sum(),
            parts,
        })
    }

    pub(super) fn open(&self, part: &Part) -> Result<Box<dyn Read>, RunError> {
        let file = self.opened(part)?;
        Ok(Box::new(FileReader { file, described_as: part.described_as.clone() }))
    }

    pub(super) fn open_at(&self, part: &Part) -> Result<Arc<dyn ReadAt>, RunError> {
        let (described_as, size_bytes) = (part.described_as.clone(), part.size_bytes);
        Ok(Arc::new(FileAt { file: self.opened(part)?, described_as, size_bytes }))
    }

    fn opened(&self, part: &Part) -> Result<File, RunError> {
        let path = Path::new(&part.name);
        File::open(path).map_err(|error| self.failed(path, &part.described_as, &error))
    }

    fn failed(&self, path: &Path, described_as: &str, error: &io::Error) -> RunError {
        let (path, spec_field) = (path.display(), self.spec_field);
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(match &self.mount {
                Some(mount) => missing_in_mount(mount, described_as, spec_field),
                None => format!("{described_as} does not exist: no file {path}. Check {spec_field}"),
            }),
            io::ErrorKind::PermissionDenied => not_found(format!(
                "{described_as} cannot be read: {path} is not readable for this pod's user. Change its permissions"
            )),
            _ => RunError::transient(format!("cannot read {described_as} ({path}): {error}")),
        }
    }
}

/// Message about a missing file of a volume or ConfigMap. `described_as` is `<file> of ConfigMap
/// <name>` or `<file> on PersistentVolumeClaim <name>`; paths in the pod mean nothing to the user.
fn missing_in_mount(mount: &Path, described_as: &str, spec_field: &str) -> String {
    // A missing ConfigMap is mounted as an empty directory. Names that start with two dots belong
    // to the mount itself.
    let entries = std::fs::read_dir(mount).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with(".."));
    names.sort();
    if let (Some((file, map)), true) = (described_as.split_once(" of ConfigMap "), names.is_empty()) {
        return format!(
            "ConfigMap {map} does not exist, or has no keys: create it with the {file}. Check {spec_field}"
        );
    }
    let shown = names.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    let found = if shown.is_empty() { "it is empty".to_owned() } else { format!("found: {shown}{more}") };
    format!("{described_as} does not exist; {found}. Check {spec_field}")
}

fn version_key(path: &str, metadata: &Metadata) -> io::Result<Value> {
    let since_1970 = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(json!({
        "path": path,
        "sizeBytes": metadata.len(),
        "modifiedSeconds": since_1970.as_secs(),
        "modifiedNanos": since_1970.subsec_nanos(),
    }))
}

struct FileReader {
    file: File,
    described_as: String,
}

impl Read for FileReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into).map_err(|error| io::Error::other(read_failed(&self.described_as, &error)))
    }
}

struct FileAt {
    file: File,
    described_as: String,
    size_bytes: u64,
}

impl ReadAt for FileAt {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, start: u64, length: usize) -> Result<Bytes, RunError> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| read_failed(&self.described_as, &error))?;
        Ok(bytes.into())
    }
}

fn read_failed(described_as: &str, error: &io::Error) -> RunError {
    RunError::transient(format!("cannot continue reading {described_as}: {error}"))
}

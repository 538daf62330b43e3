//! Lists the keys with a prefix in byte order, page by page.
//!
//! Each page walks everything below the deepest directory of the prefix and retains the smallest
//! entries. The prefix of a Recommender has few objects (retention bounds their number), so this is
//! cheaper than a crash-consistent index.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, FileStat},
    key_path::{self, DecodedName},
};

/// Parameters of a listing. An entry is a key or a common prefix.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Prefix of every listed key.
    pub prefix: String,
    /// Keys that contain this after the prefix are grouped by the common prefix that ends with it.
    pub delimiter: Option<String>,
    /// Only keys greater than this.
    pub start_after: Option<String>,
    /// Only entries greater than this, which is the last entry of the previous page.
    pub continue_after: Option<String>,
    /// Max entries of a page.
    pub entries_max: usize,
}

/// Page of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// Keys with their metadata, in byte order.
    pub objects: Vec<(String, FileStat)>,
    /// Common prefixes, in byte order.
    pub common_prefixes: Vec<String>,
    /// Last entry of this page, if more pages follow.
    pub next: Option<String>,
}

/// Reads a page.
pub fn list(disk: &Disk, query: &Query) -> io::Result<Page> {
    if query.entries_max == 0 {
        return Ok(Page::default());
    }
    let directory = key_path::prefix_directory(&query.prefix);
    // Key prefixes are bytes, because a piece of a long part may end inside a character.
    let key_start = query.prefix.rsplit_once('/').map_or(String::new(), |(parents, _)| format!("{parents}/"));
    let mut builder = PageBuilder { query, entries: BTreeMap::new(), is_truncated: false };
    walk(&disk.objects().join(directory), key_start.as_bytes(), &mut builder)?;
    let mut page = Page::default();
    if builder.is_truncated {
        page.next = builder.entries.last_key_value().map(|(entry, _)| entry.clone());
    }
    for (entry, path) in builder.entries {
        match path {
            None => page.common_prefixes.push(entry),
            Some(path) => match fs::metadata(&path).and_then(|metadata| FileStat::of(&metadata)) {
                Ok(stat) => page.objects.push((entry, stat)),
                // Deleted since the walk.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(page)
}

struct PageBuilder<'a> {
    query: &'a Query,
    /// Smallest entries so far, with a path for an object and `None` for a common prefix.
    entries: BTreeMap<String, Option<PathBuf>>,
    is_truncated: bool,
}

impl PageBuilder<'_> {
    fn add(&mut self, key: String, path: PathBuf) {
        let query = self.query;
        let Some(rest) = key.strip_prefix(&query.prefix) else { return };
        if query.start_after.as_ref().is_some_and(|after| key <= *after) {
            return;
        }
        let common_prefix = query.delimiter.as_ref().filter(|d| !d.is_empty()).and_then(|delimiter| {
            let end = rest.find(delimiter.as_str())? + delimiter.len();
            Some(format!("{}{}", query.prefix, rest.get(..end)?))
        });
        let (entry, path) = match common_prefix {
            Some(prefix) => (prefix, None),
            None => (key, Some(path)),
        };
        if query.continue_after.as_ref().is_some_and(|after| entry <= *after) {
            return;
        }
        self.entries.insert(entry, path);
        if self.entries.len() > query.entries_max {
            self.entries.pop_last();
            self.is_truncated = true;
        }
    }
}

/// Adds all objects below a directory. The depth is bounded by the length of a key, because every
/// directory adds one or more bytes to it.
fn walk(directory: &Path, key: &[u8], builder: &mut PageBuilder<'_>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        match name.to_str().and_then(key_path::decode_name) {
            Some(DecodedName::Directory(bytes)) => {
                let below = [key, &bytes].concat();
                let prefix = builder.query.prefix.as_bytes();
                if below.starts_with(prefix) || prefix.starts_with(&below) {
                    walk(&entry.path(), &below, builder)?;
                }
            }
            Some(DecodedName::Object(bytes)) => {
                if let Ok(key) = String::from_utf8([key, &bytes].concat()) {
                    builder.add(key, entry.path());
                }
            }
            // Not from the store, for example lost+found.
            None => {}
        }
    }
    Ok(())
}

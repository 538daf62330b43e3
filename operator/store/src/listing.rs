//! Listing: the keys below a prefix in byte order, a page at a time.
//!
//! A page walks everything below the deepest directory of its prefix and keeps the smallest keys. A Recommender's prefix
//! holds few objects (retention sees to it), so that is cheaper than keeping an index true through crashes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, Facts},
    key_path::{self, Entry},
};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Keys begin with this.
    pub prefix: String,
    /// Keys that go on to this after the prefix are folded into one common prefix.
    pub delimiter: Option<String>,
    /// Only keys above this.
    pub start_after: Option<String>,
    /// Only lines above this: the last line of the page before.
    pub continue_after: Option<String>,
    /// Lines a page.
    pub lines_max: usize,
}

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// Keys with their facts, in byte order.
    pub objects: Vec<(String, Facts)>,
    /// Common prefixes, in byte order.
    pub common_prefixes: Vec<String>,
    /// The last line, if there are more.
    pub next: Option<String>,
}

/// Reads a page.
pub fn list(disk: &Disk, query: &Query) -> io::Result<Page> {
    if query.lines_max == 0 {
        return Ok(Page::default());
    }
    let directory = key_path::prefix_directory(&query.prefix);
    // The key so far, as bytes: a piece of a long part may end inside of a character.
    let start = query.prefix.rsplit_once('/').map_or(String::new(), |(parents, _)| format!("{parents}/"));
    let mut lines = Lines { query, kept: BTreeMap::new(), more: false };
    walk(&disk.objects().join(directory), start.as_bytes(), &mut lines)?;
    let mut page = Page::default();
    if lines.more {
        page.next = lines.kept.last_key_value().map(|(line, _)| line.clone());
    }
    for (line, path) in lines.kept {
        match path {
            None => page.common_prefixes.push(line),
            Some(path) => match fs::metadata(&path).and_then(|metadata| Facts::of(&metadata)) {
                Ok(facts) => page.objects.push((line, facts)),
                // Deleted since it was seen.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(page)
}

struct Lines<'a> {
    query: &'a Query,
    /// The smallest lines; a path for an object, none for a common prefix.
    kept: BTreeMap<String, Option<PathBuf>>,
    more: bool,
}

impl Lines<'_> {
    fn offer(&mut self, key: String, path: PathBuf) {
        let query = self.query;
        let Some(rest) = key.strip_prefix(&query.prefix) else { return };
        if query.start_after.as_ref().is_some_and(|after| key <= *after) {
            return;
        }
        let folded = query.delimiter.as_ref().filter(|d| !d.is_empty()).and_then(|delimiter| {
            let end = rest.find(delimiter.as_str())? + delimiter.len();
            Some(format!("{}{}", query.prefix, rest.get(..end)?))
        });
        let (line, path) = match folded {
            Some(common) => (common, None),
            None => (key, Some(path)),
        };
        if query.continue_after.as_ref().is_some_and(|after| line <= *after) {
            return;
        }
        self.kept.insert(line, path);
        if self.kept.len() > query.lines_max {
            self.kept.pop_last();
            self.more = true;
        }
    }
}

/// Depth is bounded by the length of keys: every directory adds at least one byte to a key.
fn walk(directory: &Path, key: &[u8], lines: &mut Lines<'_>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        match name.to_str().and_then(key_path::read_name) {
            Some(Entry::Directory(bytes)) => {
                let below = [key, &bytes].concat();
                let prefix = lines.query.prefix.as_bytes();
                if below.starts_with(prefix) || prefix.starts_with(&below) {
                    walk(&entry.path(), &below, lines)?;
                }
            }
            Some(Entry::Object(bytes)) => {
                if let Ok(key) = String::from_utf8([key, &bytes].concat()) {
                    lines.offer(key, entry.path());
                }
            }
            // Such as lost+found.
            None => {}
        }
    }
    Ok(())
}

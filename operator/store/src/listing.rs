//! Lists the keys with a prefix in byte order, page by page.
//!
//! A page visits the directories in the order of their keys, and opens only those that may hold an
//! entry of the page. So its time depends on the page and on the sizes of these directories, not on
//! the number of objects, and no crash-consistent index is needed. Of a large directory it holds the
//! next entries only, and reads it again for the others, so its memory is bounded.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, FileStat},
    key_path::{self, DecodedName},
};

/// Maximum number of entries of a directory that are in memory. A page takes at most 1,000, but may
/// leave out others.
const ENTRIES_HELD_MAX: usize = 4096;

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
    page_of(Walk::new(disk, query), query)
}

fn page_of(mut walk: Walk<'_>, query: &Query) -> io::Result<Page> {
    let mut page = Page::default();
    if query.entries_max == 0 {
        return Ok(page);
    }
    let mut entries = 0;
    let mut last: Option<String> = None;
    while let Some((key, path)) = walk.next()? {
        let common_prefix = common_prefix(&key, query);
        if entries == query.entries_max {
            page.next = last;
            return Ok(page);
        }
        let entry = if let Some(common_prefix) = common_prefix {
            walk.skip_prefix(&common_prefix);
            page.common_prefixes.push(common_prefix.clone());
            common_prefix
        } else {
            match fs::metadata(&path).and_then(|metadata| FileStat::of(&metadata)) {
                Ok(stat) => page.objects.push((key.clone(), stat)),
                // Deleted since its directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            key
        };
        entries += 1;
        last = Some(entry);
    }
    Ok(page)
}

/// Prefix that groups a key, if its part after the prefix of the query contains the delimiter.
fn common_prefix(key: &str, query: &Query) -> Option<String> {
    let delimiter = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(&query.prefix)?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(format!("{}{}", query.prefix, rest.get(..end)?))
}

/// Directory or object that is not visited yet. Keys are bytes, because a piece of a long part may
/// end inside a character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    /// Key of an object, or prefix of all keys below a directory.
    key: Vec<u8>,
    is_object: bool,
    /// Of a directory that was read in part, whose node has the key of the last entry that was held:
    /// the length of its own key. The entries after that one follow.
    held_until: Option<usize>,
    path: PathBuf,
}

impl Node {
    /// Whether this entry of a directory comes after another one.
    fn is_after(&self, other: &Self) -> bool {
        (&self.key, self.is_object) > (&other.key, other.is_object)
    }
}

/// Keys of a query in byte order. The node with the smallest key is next: every key below a
/// directory is at least the directory's prefix.
struct Walk<'a> {
    prefix: &'a str,
    /// Only keys greater than this...
    after: Option<String>,
    /// ...and without this prefix, which was listed as a whole.
    skipped_prefix: Option<String>,
    nodes: BinaryHeap<Reverse<Node>>,
    entries_held_max: usize,
    #[cfg(test)]
    directories_read: usize,
}

impl<'a> Walk<'a> {
    fn new(disk: &Disk, query: &'a Query) -> Self {
        let path = disk.objects().join(key_path::prefix_directory(&query.prefix));
        let key = query.prefix.rsplit_once('/').map_or(Vec::new(), |(parents, _)| format!("{parents}/").into_bytes());
        // A page that ended with a common prefix continues after all keys of it.
        let skipped_prefix = query.continue_after.clone().filter(|entry| common_prefix(entry, query).is_some());
        Self {
            prefix: &query.prefix,
            after: query.start_after.clone().max(query.continue_after.clone()),
            skipped_prefix,
            nodes: BinaryHeap::from([Reverse(Node { key, is_object: false, held_until: None, path })]),
            entries_held_max: ENTRIES_HELD_MAX,
            #[cfg(test)]
            directories_read: 0,
        }
    }

    /// Leaves out the other keys with this prefix.
    fn skip_prefix(&mut self, prefix: &str) {
        self.skipped_prefix = Some(prefix.to_owned());
    }

    /// Next key and the path of its object.
    fn next(&mut self) -> io::Result<Option<(String, PathBuf)>> {
        while let Some(Reverse(node)) = self.nodes.pop() {
            if let Some(length) = node.held_until {
                let directory = node.key.get(..length).unwrap_or_default();
                self.read(&node.path, directory, Some(&node))?;
            } else if self.is_wanted(&node) {
                if !node.is_object {
                    self.read(&node.path, &node.key, None)?;
                } else if let Ok(key) = String::from_utf8(node.key) {
                    return Ok(Some((key, node.path)));
                }
            }
        }
        Ok(None)
    }

    /// Whether a node is an object of the query, or a directory that may hold one.
    fn is_wanted(&self, node: &Node) -> bool {
        let key = node.key.as_slice();
        let is_below = |prefix: &[u8]| key.starts_with(prefix) || (!node.is_object && prefix.starts_with(key));
        let is_after = |after: &[u8]| key > after || (!node.is_object && after.starts_with(key));
        is_below(self.prefix.as_bytes())
            && self.after.as_ref().is_none_or(|after| is_after(after.as_bytes()))
            && self.skipped_prefix.as_ref().is_none_or(|skipped| !key.starts_with(skipped.as_bytes()))
    }

    /// Adds the next entries of a directory: all of them, or those after `held`. The depth is bounded
    /// by the length of a key, because every directory adds one or more bytes to it.
    fn read(&mut self, directory: &Path, key: &[u8], held: Option<&Node>) -> io::Result<()> {
        #[cfg(test)]
        {
            self.directories_read += 1;
        }
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut next = BinaryHeap::new();
        let mut are_more = false;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let (bytes, is_object) = match name.to_str().and_then(key_path::decode_name) {
                Some(DecodedName::Directory(bytes)) => (bytes, false),
                Some(DecodedName::Object(bytes)) => (bytes, true),
                // Not from the store, for example lost+found.
                None => continue,
            };
            let node = Node { key: [key, &bytes].concat(), is_object, held_until: None, path: entry.path() };
            if self.is_wanted(&node) && held.is_none_or(|held| node.is_after(held)) {
                next.push(node);
                if next.len() > self.entries_held_max {
                    next.pop();
                    are_more = true;
                }
            }
        }
        if let Some(last) = next.peek().filter(|_| are_more) {
            let rest = Node { held_until: Some(key.len()), path: directory.to_owned(), ..last.clone() };
            self.nodes.push(Reverse(rest));
        }
        self.nodes.extend(next.into_iter().map(Reverse));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn store(keys: &BTreeSet<String>) -> (tempfile::TempDir, Disk) {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        for key in keys {
            let path = disk.objects().join(key_path::to_path(key).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        (directory, disk)
    }

    /// Entries of a page: keys, and common prefixes marked as true.
    fn entries(page: &Page) -> Vec<(String, bool)> {
        let objects = page.objects.iter().map(|(key, _)| (key.clone(), false));
        let mut entries: Vec<_> = objects.chain(page.common_prefixes.iter().map(|p| (p.clone(), true))).collect();
        entries.sort();
        entries
    }

    /// Entries of all pages by the definition of S3.
    fn expected(keys: &BTreeSet<String>, query: &Query) -> Vec<(String, bool)> {
        let mut entries = BTreeMap::new();
        for key in keys {
            let Some(rest) = key.strip_prefix(&query.prefix) else { continue };
            if query.start_after.as_ref().is_some_and(|after| key <= after) {
                continue;
            }
            match query.delimiter.as_ref().and_then(|delimiter| rest.split_once(delimiter.as_str())) {
                Some((group, _)) => {
                    entries.insert(format!("{}{group}{}", query.prefix, query.delimiter.as_ref().unwrap()), true);
                }
                None => {
                    entries.insert(key.clone(), false);
                }
            }
        }
        entries.into_iter().collect()
    }

    fn keys() -> impl Strategy<Value = BTreeSet<String>> {
        // Parts around the length at which a part is split, and characters around the slash.
        let part = prop_oneof![
            "[a-b./_-]{0,3}",
            (62_usize..67, "[-/a]{0,2}").prop_map(|(length, end)| "x".repeat(length) + &end),
            (20_usize..24).prop_map(|length| "ä€".repeat(length)),
        ];
        let key = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
        prop::collection::btree_set(key.prop_filter("valid", |key| key_path::check(key).is_ok()), 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn pages_hold_all_entries_in_order(
            keys in keys(),
            prefix in any::<prop::sample::Index>(),
            prefix_bytes in 0..70_usize,
            delimiter in prop::option::of(prop_oneof![Just("/"), Just("-"), Just("a/")]),
            start_after in prop::option::of(any::<prop::sample::Index>()),
            entries_max in 1..6_usize,
            entries_held_max in 1..6_usize,
        ) {
            let (_directory, disk) = store(&keys);
            let chosen = |index: &prop::sample::Index| {
                if keys.is_empty() { String::new() } else { keys.iter().nth(index.index(keys.len())).unwrap().clone() }
            };
            let prefix: String = chosen(&prefix).chars().take(prefix_bytes).collect();
            let start_after = start_after.as_ref().map(chosen);
            let query = Query { prefix, delimiter: delimiter.map(str::to_owned), start_after, entries_max, ..Query::default() };
            let mut found = Vec::new();
            let mut continue_after = None;
            loop {
                let query = Query { continue_after, ..query.clone() };
                let page = page_of(Walk { entries_held_max, ..Walk::new(&disk, &query) }, &query).unwrap();
                let page_entries = entries(&page);
                prop_assert!(page_entries.len() <= entries_max);
                found.extend(page_entries);
                continue_after = page.next;
                if continue_after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(found, expected(&keys, &query));
        }
    }

    #[test]
    fn a_page_reads_only_the_directories_of_its_entries() {
        let keys: BTreeSet<String> = (0..300).map(|n| format!("id/shop/movies/{n:03}/a")).collect();
        let (_directory, disk) = store(&keys);
        let continue_after = Some("id/shop/movies/150/a".to_owned());
        let query = Query { prefix: "id/shop/movies/".into(), continue_after, entries_max: 1, ..Query::default() };
        let mut walk = Walk::new(&disk, &query);
        assert_eq!(walk.next().unwrap().unwrap().0, "id/shop/movies/151/a");
        // That of the prefix, that of the last entry, and that of the next one.
        assert_eq!(walk.directories_read, 3);

        // A common prefix is listed from its first key.
        let query = Query { delimiter: Some("/".into()), entries_max: 300, continue_after: None, ..query };
        let page = list(&disk, &query).unwrap();
        assert_eq!((page.common_prefixes.len(), page.next), (300, None));
    }

    #[test]
    fn a_large_directory_is_read_in_parts() {
        let keys: BTreeSet<String> = (0..2 * ENTRIES_HELD_MAX).map(|n| format!("tmp-{n:05}/a")).collect();
        let (_directory, disk) = store(&keys);
        let query = Query { entries_max: usize::MAX, ..Query::default() };
        let mut walk = Walk::new(&disk, &query);
        for key in &keys {
            assert_eq!(walk.next().unwrap().unwrap().0, *key);
            assert!(walk.nodes.len() <= ENTRIES_HELD_MAX + 1, "{} entries in memory", walk.nodes.len());
        }
        assert_eq!(walk.next().unwrap(), None);
    }

    #[test]
    fn an_object_that_is_deleted_meanwhile_is_left_out() {
        let (_directory, disk) = store(&BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        // A link without a target is found in the directory, but has no metadata.
        std::os::unix::fs::symlink("missing", disk.objects().join("o_aa")).unwrap();
        let query = Query { entries_max: 2, ..Query::default() };
        let page = list(&disk, &query).unwrap();
        assert_eq!(entries(&page), [("a".to_owned(), false), ("b".to_owned(), false)]);
        assert_eq!(page.next, None);
    }
}
